"""SPEC.md holds: its tables against the code, its hex against the decoder, its example against both sessions."""

import re
from ast import literal_eval
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from msgspec import NODEFAULT, inspect, json

from virtmux import messages, wire
from virtmux.domains import DeviceInfo, DomainInfo
from virtmux.features import Feature
from virtmux.messages import (
    MAX_SECONDS,
    ClientMessage,
    ConsoleInfo,
    Counters,
    DaemonMessage,
    HistoryInfo,
    HypervisorInfo,
    Lag,
    Limits,
    ProcessInfo,
    State,
    Statistics,
    Tally,
    Threads,
)
from virtmux.people import ClientInfo, Companion, Person, PlaceInfo, Role
from virtmux.reasons import CAUSES, PLACE_CAUSES, Cause, ConsoleId, LibvirtEvent, Phase, Reason, Retry, SavedError
from virtmux.records import Mark
from virtmux.session import ClientSession, DaemonSession
from virtmux.wire import Decoder, Frame, Input, Message, Output, encode_input, encode_message, encode_output

SPEC = (Path(__file__).parents[2] / "protocol" / "SPEC.md").read_text()

Row = dict[str, str]


class Section(NamedTuple):
    """What stands under one heading, up to the next."""

    tables: list[list[Row]]
    blocks: dict[str, str]


def read_section(text: str) -> Section:
    tables = []
    for lines in re.findall(r"^(?:\|.*\n)+", text, re.MULTILINE):
        cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines.splitlines()]
        names = cells[0]
        assert all(len(row) == len(names) for row in cells), lines
        tables.append([dict(zip(names, row, strict=True)) for row in cells[2:]])
    return Section(tables, dict(re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)))


SECTIONS = {
    part.partition("\n")[0]: read_section(part.partition("\n")[2])
    for part in re.split(r"^#+ ", SPEC, flags=re.MULTILINE)[1:]
}


def table(heading: str) -> list[Row]:
    return SECTIONS[heading].tables[0]


def code(cell: str) -> str:
    """The text of a cell that is all code."""
    assert cell.startswith("`"), cell
    assert cell.endswith("`"), cell
    return cell[1:-1]


def tag(struct: type) -> str:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return str(info.tag)


STRUCTS: dict[str, type] = {
    **{f"`{tag(struct)}`, from the client": struct for struct in get_args(ClientMessage)},
    **{f"`{tag(struct)}`, from the daemon": struct for struct in get_args(DaemonMessage)},
    **{f"Mark `{tag(struct)}`": struct for struct in get_args(Mark)},
    **{
        f"Object {struct.__name__}": struct
        for struct in (
            Reason,
            ConsoleId,
            SavedError,
            LibvirtEvent,
            Retry,
            ConsoleInfo,
            HypervisorInfo,
            HistoryInfo,
            Counters,
            Statistics,
            Tally,
            Threads,
            ProcessInfo,
            Person,
            Companion,
            ClientInfo,
            PlaceInfo,
            DomainInfo,
            DeviceInfo,
            Lag,
            Limits,
        )
    },
}
#: Strings to which the page gives a form: that, and what the code knows of it.
FORMS = {("time", "string"), ("position", "string"), ("position", "text")}


def integer_name(kind: inspect.IntType) -> str:
    if kind.le is None:
        return "int"
    return {4294967295: "u32", 9223372036854775807: "u63", 767: "key", 10000: "hold"}[kind.le]


def type_name(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType():
            name = integer_name(kind)
        case inspect.StrType(max_length=messages.MAX_TEXT):
            name = "text"
        case inspect.StrType(max_length=None):
            name = "string"
        case inspect.FloatType(gt=gt, le=le):
            assert (gt, le) in {(0, MAX_SECONDS), (None, None)}
            name = "number" if gt is None else "seconds"
        case inspect.LiteralType(values=values):
            name = " or ".join(f"`{value}`" for value in values)
        case inspect.BoolType():
            name = "boolean"
        case inspect.EnumType(cls=cls) | inspect.StructType(cls=cls):
            name = cls.__name__
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            name = f"[{type_name(item)}]"
        case inspect.DictType(key_type=key, value_type=value):
            name = f"{{{type_name(key)}: {type_name(value)}}}"
        case inspect.UnionType(types=types) if {getattr(each, "cls", None) for each in types} == set(get_args(Mark)):
            name = "Mark"
        case _:
            raise AssertionError(kind)
    return name


def field_row(field: inspect.Field) -> Row:
    """What the page has to say of a field."""
    kind, null = field.type, False
    if isinstance(kind, inspect.UnionType) and kind.includes_none:
        null = True
        rest = tuple(each for each in kind.types if not isinstance(each, inspect.NoneType))
        kind = rest[0] if len(rest) == 1 else inspect.UnionType(rest)
    if field.default is not NODEFAULT:
        absent = f"`{json.encode(field.default).decode()}`"
    elif field.default_factory is not NODEFAULT:
        absent = f"`{json.encode(field.default_factory()).decode()}`"
    else:
        absent = "error"
    return {
        "field": f"`{field.encode_name}`",
        "type": type_name(kind),
        "null": "yes" if null else "no",
        "absent": absent,
    }


def test_every_message_mark_and_object_has_its_section_and_no_section_is_too_many() -> None:
    headings = {name for name in SECTIONS if re.match(r"`.*`, from|Mark `|Object ", name)}
    assert headings == set(STRUCTS), "SPEC.md has a section for each, and `STRUCTS` above has what is no message"


@pytest.mark.parametrize("heading", STRUCTS)
def test_the_fields_of_a_section_are_those_of_the_code(heading: str) -> None:
    info = inspect.type_info(STRUCTS[heading])
    assert isinstance(info, inspect.StructType)
    expected = [field_row(field) for field in info.fields]
    rows = [{name: row[name] for name in ("field", "type", "null", "absent")} for row in table(heading)]
    for row, field in zip(rows, expected, strict=False):
        if (row["type"], field["type"]) in FORMS:
            field["type"] = row["type"]
    assert rows == expected, f"SPEC.md, {heading!r}, has a row for each field, in the order of the code"
    assert all(row["meaning"] for row in table(heading))


def test_the_causes_are_those_of_the_code() -> None:
    assert table("Causes") == [
        {
            "number": str(info.number),
            "cause": f"`{cause}`",
            "exit": str(info.exit_status),
            "retry": "yes" if info.retry else "no",
            "ends": "place" if cause in PLACE_CAUSES else "console",
            "text": info.text,
        }
        for cause, info in CAUSES.items()
    ], "SPEC.md, 'Causes', has a row for each, in the order of `CAUSES`"


@pytest.mark.parametrize(
    ("heading", "column", "names"),
    [
        ("Phases", "phase", Phase),
        ("States", "state", State),
        ("Roles", "role", Role),
        ("Versions and features", "feature", Feature),
    ],
)
def test_the_sets_of_names_are_those_of_the_code(heading: str, column: str, names: type[StrEnum]) -> None:
    listed = [code(row[column]) for row in table(heading)]
    assert listed == [str(name) for name in names], f"SPEC.md, {heading!r}, has a row for each, in that order"


def test_causes_that_the_page_speaks_of_exist() -> None:
    columns = [code(row["cause"]) for row in table("5. Attach and detach")]
    columns += re.findall(r"cause `([a-z-]+)`", SPEC)
    assert set(columns) <= set(Cause)


def test_the_frame_types_and_their_limits_are_those_of_the_code() -> None:
    numbers = {"message": wire.MESSAGE, "output": wire.OUTPUT, "input": wire.INPUT}
    senders = {"message": "both", "output": "daemon", "input": "client"}
    rows = table("2. Frames")
    assert {row["name"]: int(row["type"]) for row in rows} == numbers
    assert {row["name"]: row["sent by"] for row in rows} == senders
    limits = {int(row["type"]): (int(row["smallest payload"]), int(row["largest payload"])) for row in rows}
    assert limits == wire.PAYLOAD_LIMITS


def test_the_limits_are_those_of_the_code() -> None:
    hello = inspect.type_info(messages.ClientHello)
    assert isinstance(hello, inspect.StructType)
    features = next(field.type for field in hello.fields if field.name == "features")
    assert isinstance(features, inspect.ListType)
    assert {row["limit"].strip("`"): int(row["value"]) for row in table("Limits")} == {
        "message": wire.MAX_MESSAGE,
        "output": wire.MAX_OUTPUT,
        "input": wire.MAX_INPUT,
        "input_window": Limits().input_window,
        "text": messages.MAX_TEXT,
        "features": features.max_length,
    }


FRAME_HEADINGS = {"Message frame": wire.MESSAGE, "Output frame": wire.OUTPUT, "Input frame": wire.INPUT}


def example(heading: str) -> Frame:
    """The frame that the example column of a byte table describes."""
    values = {row["field"]: row["example"] for row in table(heading)}
    if heading == "Message frame":
        return Message(code(values["payload"]).encode())
    data = unquote(f'"{code(values["data"])}"')
    if heading == "Output frame":
        return Output(int(values["console"]), int(values["offset"]), data)
    return Input(int(values["console"]), int(values["attachment"]), int(values["input_offset"]), data)


@pytest.mark.parametrize(("heading", "kind"), FRAME_HEADINGS.items())
def test_the_hex_of_a_frame_decodes_to_what_its_table_says(heading: str, kind: int) -> None:
    rows = table(heading)
    frame = bytes.fromhex(SECTIONS[heading].blocks["hex"])
    assert b"".join(bytes.fromhex(code(row["bytes"])) for row in rows) == frame
    assert list(Decoder(frozenset({kind})).feed(frame)) == [example(heading)]
    assert rows[0]["example"] == str(len(frame) - 4)
    assert rows[1]["meaning"] == rows[1]["example"] == str(kind)


@pytest.mark.parametrize("heading", FRAME_HEADINGS)
def test_the_fields_of_a_frame_follow_each_other_without_a_hole(heading: str) -> None:
    at = 0
    *fixed, last = table(heading)
    for row in fixed:
        assert int(row["at"]) == at
        assert len(bytes.fromhex(code(row["bytes"]))) == int(row["size"])
        at += int(row["size"])
    assert int(last["at"]) == at
    assert last["size"] == f"length \N{MINUS SIGN} {at - 4}"


def unquote(text: str) -> bytes:
    value = literal_eval(f"b{text}")
    assert isinstance(value, bytes)
    return value


def session_line(line: str) -> bytes:
    """The frame of a line of the example session."""
    if line.startswith("{"):
        return encode_message(line.encode())
    word, _, rest = line.partition(" ")
    numbers = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", rest.partition('"')[0])}
    data = unquote(rest[rest.index('"') :])
    if word == "output":
        return encode_output(numbers["console"], numbers["offset"], data)
    assert word == "input"
    return encode_input(numbers["console"], numbers["attachment"], numbers["input_offset"], data)


def session_lines() -> list[tuple[str, str]]:
    lines = SECTIONS["13. An example"].blocks["session"].splitlines()
    return [(line[0], line[2:]) for line in lines]


def test_the_example_session_is_one_that_both_ends_accept() -> None:
    client, server = ClientSession(), DaemonSession()
    position = None
    for sender, line in session_lines():
        received: list[Any]
        if sender == "C":
            received = list(server.receive(session_line(line)))
            if isinstance(received[0], messages.Detach):
                position = client.positions[received[0].console]
                assert client.next_id() == 1
                assert client.detach(received[0].console) == received[0]
        else:
            assert sender == "D"
            received = list(client.receive(session_line(line)))
        assert len(received) == 1
    assert f"`{position}`" in SPEC
    assert client.positions == {}


def test_the_messages_of_the_example_are_written_as_the_library_writes_them() -> None:
    for sender, line in session_lines():
        if line.startswith("{"):
            decode = messages.decode_client_message if sender == "C" else messages.decode_daemon_message
            (written,) = Decoder(frozenset({wire.MESSAGE})).feed(messages.encode(decode(line.encode())))
            assert written == Message(line.encode()), "SPEC.md, '13. An example', has each field that there is"


def test_links_within_the_page_lead_somewhere() -> None:
    anchors = {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in SECTIONS}
    assert set(re.findall(r"\]\(#([^)]+)\)", SPEC)) <= anchors
