"""The subcommands of ``manage.py workflows``, by subject.

A module's concrete subclasses of :class:`~.base.BaseSubcommand` are subcommands, named
by ``name`` or else like their module, where a dash is an underscore. Nothing else has
to be told of it.
"""
