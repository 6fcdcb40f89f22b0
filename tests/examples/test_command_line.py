"""The helpers of the examples' command lines."""

import pytest
from command_line import argument_parser, positive_int_argument


def test_a_parser_keeps_the_description_and_reports_wrong_numbers(capsys):
    parser = argument_parser("First line.\n\n    a command")
    parser.add_argument("--n", type=positive_int_argument)
    assert "First line.\n\n    a command\n" in parser.format_help()
    assert parser.parse_args(["--n", "3"]).n == 3
    for wrong in ("0", "1.5", "x"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--n", wrong])
        message = f"argument --n: a positive integer is required, received {wrong!r}"
        assert message in capsys.readouterr().err
