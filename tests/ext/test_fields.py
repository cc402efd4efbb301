"""Fields read where objects keep them: as by name, for every message of every engine."""
import msgspec
import pytest

from bench.driver.wire import Kind
from engines.paxos import Paxos
from engines.raft import Raft
from engines.unreplicated import Unreplicated
from engines.zab import Zab
from ext import build
from ext.fields import require_layout

ENGINES = (Raft, Paxos, Zab, Unreplicated)
KINDS = [kind for engine in ENGINES for kind in (*engine.HANDLERS, *engine.RECORDS)]
EXAMPLES = {int: 2**64 - 1, bool: True, bytes: b"payload"}


class Ordered(msgspec.Struct, gc=False, frozen=True):
    """Fields whose order is not the alphabet's."""

    second: int
    first: bytes


class Tracked(msgspec.Struct, weakref=True):
    """Something stands behind the fields."""

    field: int


def example(kind):
    return kind(*(EXAMPLES.get(field.type, ()) for field in msgspec.structs.fields(kind)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_message_is_laid_out_as_the_contracts_say(kind):
    require_layout(kind)


def test_the_order_of_definition_does_not_matter():
    require_layout(Ordered)


@pytest.mark.skipif(not build.compiled(), reason="the interpreter knows no offsets")
def test_a_class_of_another_layout_is_refused():
    with pytest.raises(ImportError, match="Tracked"):
        require_layout(Tracked)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_a_message_weighs_what_its_fields_weigh(kind):
    """A frame of 5 bytes, a header and the name, 5 an integer, 1 a truth value, length + 5 a byte string."""
    message = example(kind)
    expected = 5 + 1 + len(kind.__name__)
    for field in msgspec.structs.fields(kind):
        value = getattr(message, field.name)
        if field.type is int:
            expected += 5
        elif field.type is bool:
            expected += 1
        elif field.type is bytes:
            expected += 5 + len(value)
        else:
            expected += len(msgspec.msgpack.encode(value))
    assert Kind(kind, False).size(message) == expected


def test_interpreted_a_member_is_its_own_offset():
    pure = build.interpreted("ext.fields")
    if not hasattr(pure, "slot_value"):
        pytest.skip("interpreted beside compiled modules")
    assert pure.slot_value(example(Ordered), pure.slot_offset(Ordered.first)) == b"payload"
