"""Where the packages lie: installed, `templates/` and `kernels/` are inside nestgen.

All else about the project stands in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["nestgen", "nestgen.*"]),
        "nestgen.templates",
        "nestgen.kernels",
    ],
    package_dir={"nestgen.templates": "templates", "nestgen.kernels": "kernels"},
    package_data={
        "nestgen": ["py.typed"],
        "nestgen.fusion": ["choices.json"],
        "nestgen.templates": ["*.jinja"],
    },
)
