"""The Reasons that the client makes itself."""

from datetime import UTC, datetime

from tests.harness.scripted_daemon import CONSOLE
from virtmux.reason_now import reason_now
from virtmux.reasons import Cause, Phase, sentence


def test_it_has_the_causes_own_sentence_and_the_time_of_now() -> None:
    before = datetime.now(UTC)
    reason = reason_now(Cause.STREAM_ENDED, "why", phase=Phase.SEND, console=CONSOLE)
    assert reason.text == f"{sentence(Cause.STREAM_ENDED, CONSOLE)}: why"
    assert (reason.phase, reason.console, reason.retry.will_retry) == (Phase.SEND, CONSOLE, False)
    assert before <= datetime.fromisoformat(reason.at) <= datetime.now(UTC)


def test_its_text_can_be_encoded_whatever_a_path_holds() -> None:
    assert reason_now(Cause.SERVER_LOST, text="/run/\udcff").text == r"/run/\udcff"
