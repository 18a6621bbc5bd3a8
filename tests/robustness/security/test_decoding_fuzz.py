"""Whatever bytes stand in a log or a checkpoint: they are read, or refused with this package's own error."""

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.golden.samples import SAMPLES
from trigger_engine._engine.checkpoint import Snapshot, decode_snapshot, encode_snapshot
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.matcher import Matcher
from trigger_engine._engine.validity import Validity
from trigger_engine._model.encoding import VERSION, decode_entry, encode_entry
from trigger_engine._model.entries import Entry, LeaderElected
from trigger_engine.errors import SerializationError

ENTRIES = [encode_entry(entry) for entry in SAMPLES.values()]
SNAPSHOT = Matcher(Limits(), track_keys=True).snapshot()
changes = st.lists(
    st.tuples(st.sampled_from(["replace", "insert", "remove", "cut"]), st.integers(0, 10_000), st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


def changed(data: bytes, steps: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, new in steps:
        at = place % (len(data) + 1)
        match kind:
            case "replace":
                data = data[:at] + new + data[at + len(new) :]
            case "insert":
                data = data[:at] + new + data[at:]
            case "remove":
                data = data[:at] + data[at + 1 + len(new) :]
            case _:
                data = data[:at]
    return data


def read(data: bytes) -> None:
    try:
        entry = decode_entry(data)
    except SerializationError:
        return
    assert isinstance(entry, Entry)
    assert decode_entry(encode_entry(entry)) is not None
    validity = Validity(track_keys=True)
    validity.read(1, LeaderElected(id="leader", time=0.0, name="match", runner_id="r"))
    validity.read(2, entry)


@given(data=st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: bytes([VERSION]) + tail))
@example(data=b"")
@example(data=b"\x01" + b"\x91" * 5000)
@example(data=b"\x01\xdd\xff\xff\xff\xff")
@example(data=b"\x01\xc6\xff\xff\xff\xff")
def test_random_bytes_are_refused_cleanly(data: bytes) -> None:
    read(data)


@given(entry=st.sampled_from(ENTRIES), steps=changes)
def test_entries_with_changed_bytes_are_refused_cleanly(entry: bytes, steps: list[tuple[str, int, bytes]]) -> None:
    read(changed(entry, steps))


@given(entry=st.sampled_from(ENTRIES), place=st.integers(0, 30), value=values)
def test_entries_with_changed_fields_are_refused_cleanly(entry: bytes, place: int, value: object) -> None:
    fields = msgspec.msgpack.decode(entry[1:])
    fields[place % len(fields)] = value
    read(bytes([VERSION]) + msgspec.msgpack.encode(fields))


@given(steps=changes)
def test_checkpoints_with_changed_bytes_are_refused_cleanly(steps: list[tuple[str, int, bytes]]) -> None:
    try:
        snapshot = decode_snapshot(changed(SNAPSHOT, steps))
    except SerializationError:
        return
    assert isinstance(snapshot, Snapshot)
    assert encode_snapshot(snapshot)
