"""How calls are bound to the signature of a task, and how arguments and results are restored."""

from __future__ import annotations

import functools
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from trigger_engine._declare.signature import TaskSignature
from trigger_engine._declare.values import Codec
from trigger_engine.errors import DeclarationError, SerializationError

if TYPE_CHECKING:
    from trigger_engine.nowhere import Missing  # type: ignore[import-not-found]

codec = Codec()


def signature_of(function: Callable[..., Any], task_id: str = "tasks.f") -> TaskSignature:
    return TaskSignature.from_function(function, task_id=task_id, codec=codec)


def passed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments that a runner gets for a call."""
    signature = signature_of(function)
    return signature.decode_arguments(signature.encode_arguments(signature.bind(*args, **kwargs)))


def returned(function: Callable[..., Any], value: Any) -> Any:
    """The result that a caller gets."""
    signature = signature_of(function)
    return signature.decode_result(signature.encode_result(value))


def process_order(order_id: str, amount: float, priority: str = "normal", *, urgent: bool = False) -> None: ...
def no_parameters() -> None: ...
def one(x: int) -> None: ...
def keywords_only(*, a: int, b: int, c: int = 0) -> None: ...
def three(a: int, b: int, c: int) -> None: ...


def test_call_is_bound_by_name_in_the_order_of_the_signature_with_defaults() -> None:
    bound = signature_of(process_order).bind("o-1", urgent=True, amount=5.0)
    assert list(bound.items()) == [("order_id", "o-1"), ("amount", 5.0), ("priority", "normal"), ("urgent", True)]


def test_parameter_may_be_named_self() -> None:
    def named(self: int) -> None: ...

    assert signature_of(named).bind(self=1) == {"self": 1}


CALLS_THAT_DO_NOT_FIT: list[tuple[Callable[..., None], tuple[Any, ...], dict[str, Any]]] = [
    (one, (), {}),
    (one, (1, 2), {}),
    (one, (1,), {"x": 2}),
    (one, (), {"x": 1, "y": 2}),
    (no_parameters, (1,), {}),
    (no_parameters, (1, 2), {}),
    (three, (1,), {}),
    (three, (), {}),
    (three, (1, 2, 3, 4), {}),
    (process_order, (), {"priority": "high"}),
    (keywords_only, (), {}),
    (keywords_only, (), {"a": 1}),
    (keywords_only, (), {"a": 1, "b": 2, "d": 3}),
]


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS_THAT_DO_NOT_FIT, ids=range(len(CALLS_THAT_DO_NOT_FIT)))
def test_invalid_call_raises_the_message_of_python(
    function: Callable[..., None], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError) as pythons:
        function(*args, **kwargs)
    with pytest.raises(TypeError) as ours:
        signature_of(function, function.__qualname__).bind(*args, **kwargs)
    assert str(ours.value) == str(pythons.value)


def test_too_many_positional_arguments_name_the_range() -> None:
    with pytest.raises(TypeError, match=r"^tasks\.f\(\) takes from 2 to 3 positional arguments but 4 were given$"):
        signature_of(process_order).bind(1, 2, 3, 4)


def test_mistyped_keyword_names_the_task_and_the_closest_parameter() -> None:
    with pytest.raises(TypeError) as caught:
        signature_of(process_order).bind("o-1", 2.0, priorty="high")
    assert str(caught.value) == ("tasks.f() got an unexpected keyword argument 'priorty', did you mean 'priority'?")


def test_names_are_checked_against_the_signature() -> None:
    signature = signature_of(process_order)
    assert signature.missing_and_unknown(["amount", "x"]) == (("order_id",), ("x",))
    assert signature.missing_and_unknown({"order_id": 1, "amount": 2, "urgent": 3}) == ((), ())
    assert signature.names == ("order_id", "amount", "priority", "urgent")
    assert signature.required == ("order_id", "amount")


def positional_only(x: int, /) -> None: ...
def star_args(*items: int) -> None: ...
def star_kwargs(**options: int) -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "what", "fix"),
    [
        (positional_only, "task tasks.f: parameter x is positional-only", "remove the / after it"),
        (star_args, "task tasks.f: parameter *items takes any number of", "declare one list parameter"),
        (star_kwargs, "task tasks.f: parameter **options takes any keyword", "declare each of them, or one dict"),
        (generator, "task tasks.f: the function is a generator", "return a list, or emit an event for each item"),
        (async_generator, "task tasks.f: the function is a generator", "return a list, or emit an event for each item"),
    ],
)
def test_function_that_cannot_be_called_by_name_is_refused_with_the_fix(
    function: Callable[..., Any], what: str, fix: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        signature_of(function)
    assert what in str(caught.value)
    assert fix in str(caught.value)


def collected(function: Callable[..., Iterator[int]]) -> Callable[..., list[int]]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> list[int]:
        return list(function(*args, **kwargs))

    return wrapper


@collected
def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def test_decorated_function_has_the_signature_of_the_wrapped_one() -> None:
    assert passed(numbers, 3) == {"count": 3}


@dataclass
class Order:
    id: uuid.UUID
    total: Decimal


class Customer(BaseModel):
    name: str
    orders: list[uuid.UUID] = []


class Paid(msgspec.Struct, tag="paid"):
    at: datetime


class Open(msgspec.Struct, tag="open"):
    since: datetime


def shop(
    order: Order,
    customers: list[Customer],
    by_name: dict[str, Customer],
    *,
    state: Paid | Open,
    later: Later | None = None,
    maybe: Customer | None = None,
) -> list[Customer]:
    return customers


@dataclass
class Later:
    """Defined after the function whose annotation refers to it."""

    x: int


def test_arguments_are_decoded_to_the_annotated_types() -> None:
    ann = Customer(name="Ann", orders=[uuid.uuid4()])
    call = {
        "order": Order(uuid.uuid4(), Decimal("1.50")),
        "customers": [ann],
        "by_name": {"Ann": ann},
        "state": Open(datetime(2024, 1, 1, tzinfo=UTC)),
        "later": Later(3),
        "maybe": None,
    }
    assert passed(shop, **call) == call
    assert returned(shop, [ann]) == [ann]


def test_builtins_are_converted_to_the_annotated_types() -> None:
    order = {"id": "00000000-0000-0000-0000-000000000007", "total": "1.50"}
    got = passed(shop, order, [{"name": "Ann"}], {}, state={"type": "paid", "at": "2024-01-01T00:00:00Z"})
    assert got["order"] == Order(uuid.UUID(int=7), Decimal("1.50"))
    assert got["customers"] == [Customer(name="Ann")]
    assert got["state"] == Paid(datetime(2024, 1, 1, tzinfo=UTC))


def loose(user_id: str, at: float, source: str = None, data: dict = {}, rest=None) -> str:  # type: ignore[assignment, no-untyped-def, type-arg]  # noqa: B006, RUF013
    return ""


@pytest.mark.parametrize(
    "call",
    [
        {"user_id": None, "at": None},
        {"user_id": 42, "at": "noon"},
        {"user_id": ["a"], "at": {"b": [1]}, "source": None, "data": [1, {"x": None}]},
        {"user_id": "a", "at": 1.5, "rest": {"deep": [None, True]}},
    ],
)
def test_annotations_of_builtins_do_not_forbid_other_builtins(call: dict[str, Any]) -> None:
    got = passed(loose, **call)
    assert {name: got[name] for name in call} == call
    assert got["source"] is None


def test_results_that_do_not_fit_their_annotation_are_decoded_to_builtins() -> None:
    assert returned(loose, None) is None
    assert returned(loose, {"a": 1}) == {"a": 1}
    assert returned(shop, {"not": "a list"}) == {"not": "a list"}
    assert returned(shop, Order(uuid.UUID(int=7), Decimal(2))) == {"id": str(uuid.UUID(int=7)), "total": "2"}


def strict(order: Order, at: datetime, count: int, kind: Literal["a", "b"], both: Order | Customer) -> None: ...


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (
            {"order": {"id": "x"}},
            "argument order: a dict cannot be decoded as tests.unit.declare.test_signature.Order",
        ),
        (
            {"at": "noon"},
            "argument at: a str cannot be decoded as datetime.datetime, its annotation (Invalid RFC3339",
        ),
        (
            {"count": Decimal(1)},
            "argument count: a decimal.Decimal cannot be decoded as int, its annotation (Expected",
        ),
        ({"kind": "c"}, "argument kind: a str cannot be decoded as Literal['a', 'b'], its annotation (Invalid enum"),
        (
            {"both": Order(uuid.UUID(int=1), Decimal(1))},
            "argument both: the value is a tests.unit.declare.test_signature.Order, but ",
        ),
    ],
)
def test_argument_that_cannot_be_restored_is_refused(call: dict[str, Any], what: str) -> None:
    with pytest.raises(SerializationError) as caught:
        signature_of(strict).encode_arguments(call)
    assert str(caught.value).startswith(f"task tasks.f, {what}")


def test_none_passes_with_any_annotation() -> None:
    signature = signature_of(strict)
    call = dict.fromkeys(signature.names)
    assert signature.decode_arguments(signature.encode_arguments(call)) == call


def unresolvable(it: Missing, other: int = 0) -> Missing: ...


def test_unresolvable_annotation_accepts_builtins() -> None:
    assert passed(unresolvable, {"a": [1]}) == {"it": {"a": [1]}, "other": 0}
    assert returned(unresolvable, [1]) == [1]


def test_unresolvable_annotation_is_named_if_a_value_needs_it() -> None:
    with pytest.raises(SerializationError) as caught:
        passed(unresolvable, Order(uuid.UUID(int=1), Decimal(1)))
    message = str(caught.value)
    assert message.startswith(
        "task tasks.f, argument it: the value is a tests.unit.declare.test_signature.Order, but its "
    )
    assert "'Missing' cannot be resolved" in message
    assert "outside TYPE_CHECKING" in message


@pytest.mark.parametrize(("value", "kind"), [(object(), "object"), ([1j], "list"), (2**70, "int")])
def test_argument_that_cannot_be_encoded_names_task_argument_and_type(value: Any, kind: str) -> None:
    with pytest.raises(SerializationError, match=rf"^task tasks\.f, argument rest: a value of type {kind} cannot be"):
        passed(loose, "a", 1.0, rest=value)


def test_result_that_cannot_be_encoded_names_task_and_type() -> None:
    with pytest.raises(SerializationError, match=r"^task tasks\.f, result: a value of type object cannot be encoded"):
        returned(loose, object())


SENTINEL = object()


def with_odd_defaults(*, a=SENTINEL, b=Decimal("1.5"), c: Decimal = Decimal(2), d=float("nan"), e=(1,), f=0): ...  # type: ignore[no-untyped-def]


def test_default_that_cannot_be_restored_is_left_to_the_function() -> None:
    assert list(passed(with_odd_defaults)) == ["c", "d", "f"]
    assert passed(with_odd_defaults)["c"] == Decimal(2)


def test_arguments_of_an_older_signature_are_decoded_to_builtins() -> None:
    def older(order: Order, gone: uuid.UUID) -> None: ...
    def newer(order: Order) -> None: ...

    order = Order(uuid.UUID(int=1), Decimal(1))
    raw = signature_of(older).encode_arguments({"order": order, "gone": uuid.UUID(int=2)})
    assert signature_of(newer).decode_arguments(raw) == {"order": order, "gone": str(uuid.UUID(int=2))}


def test_arguments_of_an_older_signature_that_do_not_fit_name_task_and_argument() -> None:
    raw = signature_of(loose).encode_arguments({"user_id": "a", "at": 1.0, "rest": 3})
    assert b"rest" in bytes(raw)
    raw = signature_of(one).encode_arguments({"x": 3})

    def newer(x: Order) -> None: ...

    with pytest.raises(SerializationError, match=r"^task tasks\.f, argument x: cannot be decoded as .*Order: Expected"):
        signature_of(newer).decode_arguments(raw)


def names_of(words: set[str]) -> dict[str, set[str]]:
    return {"words": words}


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"])), max_size=8))
def test_sets_have_one_encoded_form(words: set[str]) -> None:
    signature = signature_of(names_of)
    assert msgspec.msgpack.decode(signature.encode_arguments({"words": words}))["words"] == sorted(words)
    assert msgspec.msgpack.decode(signature.encode_result({"a": words}))["a"] == sorted(words)


def test_misfit_is_returned_and_not_raised() -> None:
    signature = signature_of(strict)
    assert signature.misfit("at", datetime(2024, 1, 1, tzinfo=UTC)) is None
    assert signature.misfit("at", "2024-01-01T00:00:00Z") is None
    assert signature.misfit("count", "x") == "argument count: cannot be decoded as int: Expected `int`, got `str`"
    assert "values of type object are not supported" in str(signature.misfit("count", object()))
    assert signature_of(loose).misfit("source", None) is None
    assert signature_of(unresolvable).misfit("it", 3) is None
