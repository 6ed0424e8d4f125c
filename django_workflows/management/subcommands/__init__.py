"""The subcommands of ``manage.py workflows``: one module each, named like it.

A module holds one subclass of :class:`~.base.Subcommand` called ``Subcommand``; a
dash in the name is an underscore in the module's. Nothing else has to be told of it.
"""
