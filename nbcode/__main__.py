"""python -m nbcode probe module:factory: look into a model from the command line."""

import argparse
import pkgutil
import sys

from nbcode import signals


def main(argv: list[str] | None = None) -> int:
    """Probe what a factory returns and print the table and the verdict.

    Returns:
        0 for a healthy model, 1 for one with findings, 2 if it could not be probed.
    """
    parser = argparse.ArgumentParser(prog="python -m nbcode", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("probe", help="say why a model does not train")
    command.add_argument(
        "factory",
        metavar="module:factory",
        help="a function without arguments that returns (model, batch) or (model, batch, "
        "loss), in a module of this directory or an installed one",
    )
    command.add_argument("--lr", type=float, help="learning rate of plain gradient descent")
    mode = command.add_mutually_exclusive_group()
    mode.add_argument("--training", action="store_true", help="you are training the model")
    mode.add_argument("--inference", action="store_true", help="you are using the model")
    options = parser.parse_args(argv)
    training = True if options.training else False if options.inference else None
    try:
        report = _probe(options.factory, options.lr, training)
    except ValueError as error:
        print(f"python -m nbcode probe: {error}", file=sys.stderr)
        return 2
    print(report)
    return 0 if report.healthy else 1


def _probe(name, lr, training):
    if "" not in sys.path:
        sys.path.insert(0, "")  # as python -m has it
    remedy = "mymodel:build, say, for the function build in mymodel.py of this directory"
    try:
        factory = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        said = f"got {name!r} ({error})"
        raise ValueError(f"factory must be module:function, {said}: {remedy}") from error
    if not callable(factory):
        said = f"got {name!r}, which cannot be called"
        raise ValueError(f"factory must be module:function, {said}: {remedy}")
    made = factory()
    if not isinstance(made, tuple | list) or len(made) not in (2, 3):
        raise ValueError(
            f"factory must return (model, batch) or (model, batch, loss), got "
            f"{type(made).__name__} from {name}: return them as a tuple"
        )
    return signals.probe(*made, lr=lr, training=training)


if __name__ == "__main__":
    sys.exit(main())
