"""Options that several verbs share."""

import getpass
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

OperatorName = Annotated[
    str,
    typer.Option(
        "--operator",
        envvar="HOLDFAST_OPERATOR",
        default_factory=getpass.getuser,
        show_default="the user that runs the command",
        help="Name that the step is recorded under.",
    ),
]
