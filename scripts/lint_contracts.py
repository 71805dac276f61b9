"""A kind of contract that import-linter lacks: packages that need the standard library alone."""

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class StandardLibraryOnly(Contract):
    """Each of the packages imports the standard library and its own modules, nothing else.

    A list of forbidden modules could never be complete; this is the list of what is allowed.
    """

    packages = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find every direct import that leaves a package for something not in the library."""
        strangers = sorted(
            (module, imported)
            for package in self.packages  # type: ignore[attr-defined]  # a list, once it is read
            for module in (package, *graph.find_descendants(package))
            for imported in graph.find_modules_directly_imported_by(module)
            if imported.partition(".")[0] not in sys.stdlib_module_names
            and imported != package
            and not imported.startswith(f"{package}.")
        )
        return ContractCheck(kept=not strangers, metadata={"strangers": strangers})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print who imports what."""
        for module, imported in check.metadata["strangers"]:
            output.print_error(f"{module} is not allowed to import {imported}", bold=False)
            output.new_line()
