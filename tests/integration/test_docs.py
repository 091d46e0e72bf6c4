"""Every example of the documentation runs, and every command and run file in it is one that exists."""

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click
import pytest
import typer
from polyrec import models, recipes
from polyrec.cli.main import app
from polyrec.config import RunConfig
from polyrec.declare import parse
from polyrec.objectives import balance, objective
from polyrec.recipes import recipe as recipe_registry
from polyrec.recipes.assemble import training_of
from polyrec.schema import Schema

from tests.conftest import ROOT, write_log

DOCS = ROOT / "docs"
