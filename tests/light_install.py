"""Import every module of the robot install; run by `make check` where nothing else is installed."""

import importlib
import pkgutil
import sys

ROBOT_PACKAGES = ("contracts", "store", "kinematics", "runtime")
HEAVY = ("torch", "mujoco", "gymnasium", "pyarrow", "av", "scipy", "pydantic", "typer", "rich")


def main() -> int:
    """Import them all; print what failed and which heavy library slipped in."""
    failures = []
    count = 0
    for package_name in ROBOT_PACKAGES:
        package = importlib.import_module(f"steadyhand.{package_name}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            count += 1
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                failures.append(f"{module.name}: {error}")
    failures += [
        f"{name} was imported by the robot install" for name in HEAVY if name in sys.modules
    ]
    sys.stdout.write("".join(f"{line}\n" for line in failures))
    sys.stdout.write(f"robot install: {count} modules, {len(failures)} failures\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
