"""Expressions over data, as conditions and parameters of definitions have them.

    compile_expression("score.risk < 0.3 && plan === 'pro'").evaluate({"score": ...})
    compile_template({"to": "{{ input.email }}"}).render({"input": ...})

Python's operators and JavaScript's mean the same. There are names, literals, keys,
indexes and `.length`, and nothing that could be called. Size and depth are bounded, so
that the time of an evaluation is as well.
"""

from django_workflows.core.expressions.compiled import Expression, compile_expression
from django_workflows.core.expressions.errors import ExpressionError, MissingNameError
from django_workflows.core.expressions.templates import Template, compile_template

__all__ = [
    "Expression",
    "ExpressionError",
    "MissingNameError",
    "Template",
    "compile_expression",
    "compile_template",
]
