"""The encoding of entries never changes: every version reads the logs of all earlier versions."""

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tests.unit.golden.samples import SAMPLES
from trigger_engine._model.encoding import VERSION, decode_entry, encode_entry
from trigger_engine._model.entries import AnyEntry, Entry
from trigger_engine.errors import SerializationError

GOLDEN: dict[str, str] = json.loads(Path(__file__).with_name("entries.json").read_text(encoding="utf-8"))
KINDS: dict[str, type[Entry]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyEntry)}


def test_every_kind_of_entry_has_a_sample() -> None:
    assert KINDS.keys() == SAMPLES.keys() == GOLDEN.keys()
    assert all(type(SAMPLES[kind]) is KINDS[kind] for kind in KINDS)


@pytest.mark.parametrize("kind", GOLDEN)
def test_stored_bytes_decode_to_the_entry(kind: str) -> None:
    assert decode_entry(bytes.fromhex(GOLDEN[kind])) == SAMPLES[kind]


@pytest.mark.parametrize("kind", GOLDEN)
def test_entry_is_encoded_to_the_stored_bytes(kind: str) -> None:
    assert encode_entry(SAMPLES[kind]).hex() == GOLDEN[kind]


@pytest.mark.parametrize("kind", GOLDEN)
def test_samples_set_every_field_to_something_else_than_its_default(kind: str) -> None:
    sample = SAMPLES[kind]
    usual = [
        field.name
        for field in msgspec.structs.fields(sample)
        if field.default is not msgspec.NODEFAULT and getattr(sample, field.name) == field.default
    ]
    assert usual == []


@pytest.mark.parametrize("kind", GOLDEN)
def test_bytes_from_before_the_optional_fields_were_added_are_read_with_their_defaults(kind: str) -> None:
    fields = msgspec.structs.fields(KINDS[kind])
    added = [field for field in fields if field.default is not msgspec.NODEFAULT and not _shared(field.name)]
    values: list[Any] = msgspec.msgpack.decode(bytes.fromhex(GOLDEN[kind])[1:])
    older = bytes([VERSION]) + msgspec.msgpack.encode(values[: len(values) - len(added)])
    expected = msgspec.structs.replace(SAMPLES[kind], **{field.name: field.default for field in added})
    assert decode_entry(older) == expected


@pytest.mark.parametrize("kind", GOLDEN)
def test_fields_that_a_newer_version_added_are_ignored(kind: str) -> None:
    values: list[Any] = msgspec.msgpack.decode(bytes.fromhex(GOLDEN[kind])[1:])
    newer = bytes([VERSION]) + msgspec.msgpack.encode([*values, "new"])
    assert decode_entry(newer) == SAMPLES[kind]


@pytest.mark.parametrize("version", [0, VERSION + 1, 255])
def test_another_version_is_refused_with_the_fix(version: int) -> None:
    with pytest.raises(SerializationError, match="upgrade"):
        decode_entry(bytes([version]) + bytes.fromhex(GOLDEN["event"])[1:])


def test_unknown_kind_is_refused_with_the_fix() -> None:
    with pytest.raises(SerializationError, match="upgrade"):
        decode_entry(bytes([VERSION]) + msgspec.msgpack.encode(["some-later-kind", "id", 1.0, None, 0]))


def test_bytes_that_are_cut_short_are_refused() -> None:
    whole = bytes.fromhex(GOLDEN["fired"])
    for length in range(len(whole)):
        with pytest.raises(SerializationError):
            decode_entry(whole[:length])


def test_field_of_another_type_is_refused() -> None:
    values: list[Any] = msgspec.msgpack.decode(bytes.fromhex(GOLDEN["elected"])[1:])
    values[2] = "not a time"
    with pytest.raises(SerializationError):
        decode_entry(bytes([VERSION]) + msgspec.msgpack.encode(values))


def test_random_bytes_are_refused() -> None:
    for data in (b"", b"\x00", b"\xff" * 20, bytes([VERSION]), bytes([VERSION]) + b"\xc1", b"plain text"):
        with pytest.raises(SerializationError):
            decode_entry(data)


def _shared(name: str) -> bool:
    return name in {"cause", "depth"}
