"""The schemas of the messages: what they let through can be said again, and says the same then."""

from collections.abc import Iterator
from functools import partial
from typing import Any, get_args

from msgspec import inspect, json

from tests.fuzz.target import Target
from virtmux.messages import (
    ClientMessage,
    DaemonMessage,
    decode_client_message,
    decode_daemon_message,
    encode,
)
from virtmux.wire import HEADER_SIZE, MAX_MESSAGE, ProtocolError


def run(data: bytes, *, of_client: bool) -> None:
    """What is understood can be said, and is understood as the same."""
    decode = decode_client_message if of_client else decode_daemon_message
    try:
        message = decode(data)
    except ProtocolError as error:
        assert len(str(error)) < 300, "it fits into a goodbye"
        return
    try:
        said = encode(message)
    except ValueError:
        assert len(data) > MAX_MESSAGE // 8, "of a short one nothing long is made"
        return
    assert decode(said[HEADER_SIZE:]) == message


def seeds(kind: Any) -> Iterator[bytes]:
    """Each message in its forms, with all fields."""
    for struct in get_args(kind):
        yield from map(json.encode, examples(inspect.type_info(struct)))


_PLAIN: dict[type[inspect.Type], Any] = {
    inspect.BoolType: True,
    inspect.IntType: 1,
    inspect.FloatType: 1.5,
    inspect.StrType: "00112233445566778899aabbccddeeff:5:2",
    inspect.NoneType: None,
}


def examples(kind: inspect.Type) -> list[Any]:
    """Values of this type as JSON has them, one of each kind that there is."""
    found: list[Any]
    match kind:
        case inspect.EnumType(cls=cls):
            found = [str(next(iter(cls)))]
        case inspect.LiteralType(values=values):
            found = list(values)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            found = [examples(item)]
        case inspect.TupleType(item_types=items):
            found = [[examples(item)[0] for item in items]]
        case inspect.DictType(key_type=key, value_type=value):
            found = [dict(zip(examples(key), examples(value), strict=False))]
        case inspect.UnionType(types=types):
            found = [each for one in types for each in examples(one)]
        case inspect.StructType():
            found = _objects(kind)
        case _:
            found = [_PLAIN[type(kind)]]
    return found


def _objects(kind: inspect.StructType) -> list[dict[str, Any]]:
    fields = {field.encode_name: examples(field.type) for field in kind.fields}
    tag = {} if kind.tag_field is None else {kind.tag_field: kind.tag}
    number = max(map(len, fields.values()), default=1)
    return [tag | {name: values[each % len(values)] for name, values in fields.items()} for each in range(number)]


TARGETS = (
    Target("client-messages", partial(run, of_client=True), partial(seeds, ClientMessage)),
    Target("server-messages", partial(run, of_client=False), partial(seeds, DaemonMessage)),
)
