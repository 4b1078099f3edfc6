"""How it is told who else is at a console, and who may type."""

import pytest

from virtmux.messages import Company
from virtmux.people import Companion, Person, Role
from virtmux_cli.attach.company import Others, RoleNews, not_sent_text, person, role_text

BOB = Person(2, "bob", 1001, 123)
CAROL = Person(3, "carol", 1002, 124)


def company(*others: tuple[Person, Role], more: int = 0) -> Company:
    return Company(7, [Companion(who, role) for who, role in others], more)


@pytest.mark.parametrize(
    ("who", "text"),
    [
        (BOB, "bob (pid 123)"),
        (Person(4, "dave", 1003, 0), "dave"),
        (Person(5, "e\x1b[2Jve", 1004, 5), r"e\x1b[2Jve (pid 5)"),
        (None, "somebody"),
    ],
)
def test_a_person_is_named_so_that_nothing_acts_on_the_terminal(who: Person | None, text: str) -> None:
    assert person(who) == text


@pytest.mark.parametrize(
    ("news", "text"),
    [
        (RoleNews(Role.EXCLUSIVE, None, None), "you have the console alone: nobody else may type"),
        (RoleNews(Role.WATCHER, BOB, None), "bob (pid 123) has the console alone; you may only watch"),
        (RoleNews(Role.WATCHER, BOB, Role.WRITER), "bob (pid 123) has the console alone now; you may only watch"),
        (
            RoleNews(Role.WATCHER, BOB, Role.EXCLUSIVE),
            "bob (pid 123) took the console over and has it alone; you may only watch",
        ),
        (
            RoleNews(Role.WRITER, BOB, Role.WATCHER),
            "bob (pid 123) does not have the console alone any more; you may type again",
        ),
        (RoleNews(Role.WRITER, None, Role.WATCHER), "you may type"),
        (RoleNews(Role.WRITER, None, Role.EXCLUSIVE), "you do not have the console alone any more"),
        (RoleNews(Role.READ_ONLY, None, Role.WRITER), "you may only watch"),
    ],
)
def test_each_change_of_a_role_has_its_words(news: RoleNews, text: str) -> None:
    assert role_text(news) == text


def test_what_is_not_sent_names_who_has_the_console() -> None:
    assert not_sent_text(BOB).startswith("bob (pid 123) has the console alone: what is typed here is not sent")
    assert not_sent_text(None) == "this place may only watch: what is typed here is not sent"


class TestOthers:
    def test_nobody_is_no_news(self) -> None:
        assert Others().news(company()) is None

    def test_another_place_of_this_very_process_is_nobody_else(self) -> None:
        assert Others((BOB.uid, BOB.pid)).news(company((BOB, Role.WRITER))) is None

    def test_who_comes_and_goes_is_told_once(self) -> None:
        others = Others()
        assert others.news(company((BOB, Role.WRITER))) == "bob (pid 123) is attached too and may type"
        assert others.news(company((BOB, Role.WRITER))) is None
        assert others.news(company((BOB, Role.WRITER), (CAROL, Role.READ_ONLY))) == (
            "carol (pid 124) attached too and only watches"
        )
        assert others.news(company((CAROL, Role.READ_ONLY))) == "bob (pid 123) left"

    def test_many_at_once_are_one_line_and_some_of_them_a_number(self) -> None:
        many = [(Person(number, f"u{number}", number, number), Role.WRITER) for number in range(10, 18)]
        news = Others().news(company(*many, more=3))
        assert news is not None
        assert news.startswith("u10 (pid 10) is attached too and may type; ")
        assert news.endswith("; and 3 more; 3 more are attached")
        assert news.count("is attached too") == 5

    def test_somebody_of_whom_the_list_may_have_no_room_has_not_left(self) -> None:
        others = Others()
        others.news(company((BOB, Role.WRITER)))
        assert others.news(company((CAROL, Role.WRITER), more=1)) == (
            "carol (pid 124) attached too and may type; 1 more are attached"
        )

    def test_in_another_life_of_the_daemon_the_same_process_is_the_same_client(self) -> None:
        others = Others()
        others.news(company((BOB, Role.WRITER)))
        assert others.news(company((Person(9, "bob", 1001, 123), Role.WRITER))) is None

    def test_that_somebody_has_the_console_alone_is_told_but_for_where_the_own_role_says_so(self) -> None:
        others = Others()
        others.news(company((BOB, Role.WRITER), (CAROL, Role.WRITER)))
        alone = company((BOB, Role.EXCLUSIVE), (CAROL, Role.WATCHER))
        assert others.news(alone) == "bob (pid 123) has the console alone now"
        others = Others()
        others.news(company((BOB, Role.WRITER), (CAROL, Role.WRITER)))
        others.alone(BOB)
        assert others.news(alone) is None
        others = Others()
        others.news(company((CAROL, Role.WRITER)))
        others.alone(BOB)
        assert others.news(alone) is None
        assert others.news(company((CAROL, Role.WRITER))) == "bob (pid 123) left"
