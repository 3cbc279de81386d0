from __future__ import annotations

import socket

from services.demo.live_page import LivePage, page_port


def test_a_page_that_cannot_start_is_told_with_its_last_words(tmp_path):
    with LivePage(config=tmp_path / "missing.toml", port=page_port(), folder=tmp_path) as page:
        told = page.told()
    assert told.startswith("no console; it ended:")
    assert "missing.toml" in told


def test_another_program_that_answers_on_the_port_is_not_taken_for_the_page(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with LivePage(config=tmp_path / "missing.toml", port=port, folder=tmp_path) as page:
            told = page.told()
    assert told.startswith("no console; it ended:")


def test_where_the_usual_port_is_taken_there_is_another():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        except OSError:
            pass  # taken by somebody else: as good
        assert page_port() != 8080
