"""Render template fields without changing a value on its way: text stays text, and data is never run as a template.

Airflow evaluates each rendered text as a Python literal where ``render_template_as_native_obj`` is set: ``12_345``
becomes 12345, and a phone number a number. It also renders what another task returned where that comes through
``expand_kwargs``, and takes any text that ends in ``.sql`` for the name of a file.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_klaviyo.concealed import Concealed, Given, Several
from airflow_provider_klaviyo.sources.errors import SourceError

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from jinja2.nodes import Expr
    from jinja2.runtime import Context

__all__ = ["RendersAsWritten", "as_given"]

LIST_FIELDS: Final = frozenset({"profiles"})
FILE_FIELDS: Final = frozenset({"sql"})
TEXT_FIELDS: Final = frozenset(
    {"klaviyo_conn_id", "ledger_conn_id", "output_path", "path", "require_export", "sql", "sql_conn_id"}
)
RESULT: Final = "result"


class RendersAsWritten:
    """An operator whose fields arrive as the DAG's author wrote them, or as another task returned them.

    - A text without a template in it stays as it is.
    - A template gives text. Where ``render_template_as_native_obj`` is set, one that is a single expression gives the
      value of that expression, except in names, paths and queries. No text is evaluated as a Python literal.
    - What another task returned is not rendered.
    - Lists of people are concealed afterwards.
    """

    def resolve_template_files(self: Any) -> None:
        """Read the file that ``sql`` names. In a list of people, ``.sql`` is the end of an address."""
        from jinja2 import TemplateNotFound

        for name in FILE_FIELDS.intersection(self.template_fields):
            text = getattr(self, name)
            env = self.get_template_env() if _is_file(self, name, text) else None
            if env is not None and env.loader is not None:
                try:
                    setattr(self, name, env.loader.get_source(env, text)[0])
                except TemplateNotFound:
                    self.log.exception("%s=%r names no file in the DAG's folder or its template_searchpath", name, text)
        self.prepare_template()

    def _do_render_template_fields(
        self: Any,
        parent: Any,
        template_fields: Iterable[str],
        context: Any,
        jinja_env: Environment,
        seen_oids: set[int],
    ) -> None:
        """Render in place. Every Airflow from 2.11 on calls this, for mapped tasks and for others."""
        if parent is not self:  # It is an object with template fields of its own, within a field.
            super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)  # type: ignore[misc]
            return
        try:
            for name in template_fields:
                field = getattr(self, name)
                if field is None or type(field) is Concealed:
                    continue
                value = field.value if isinstance(field, Given) else field
                origin = _origin_of(self, name, value, context)
                if origin is None:
                    value = _Rendering(self, name, context, jinja_env).of(value)
                elif name in LIST_FIELDS and type(value) is list and _is_of_query(origin):
                    value = tuple(value)
                setattr(self, name, Concealed(value) if name in LIST_FIELDS and value is not None else value)
        except SourceError as error:
            from airflow.providers.common.compat.sdk import AirflowFailException

            raise AirflowFailException(str(error)) from None


@dataclass(frozen=True, slots=True)
class _Rendering:
    """Renders a field of a task as its author wrote it."""

    task: Any
    name: str
    context: Any
    env: Environment

    def of(self, value: Any) -> Any:
        """Return a field's value with its templates rendered, and other tasks' outputs in the place of references."""
        if callable(value):
            return value(context=self.context, jinja_env=self.env)
        if self.name in LIST_FIELDS and type(value) in (list, tuple):
            # The author's tuple is a list; one that another task returned is a row.
            return (Several if any(map(_is_reference, value)) else list)(map(self._of, value))
        rendered = self._of(value)
        is_row = self.name in LIST_FIELDS and type(rendered) is list and _is_of_query(value, "fetch_one_handler")
        return tuple(rendered) if is_row else rendered

    def _of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._of_text(value)
        if isinstance(value, dict):
            return {key: self._of(one) for key, one in value.items()}
        if isinstance(value, tuple):
            return value._make(map(self._of, value)) if hasattr(value, "_make") else tuple(map(self._of, value))
        if isinstance(value, list | set):
            return (list if isinstance(value, list) else set)(map(self._of, value))
        return super(RendersAsWritten, self.task).render_template(value, self.context, self.env)  # type: ignore[misc]

    def _of_text(self, text: str) -> Any:
        is_file = _is_file(self.task, self.name, text)
        if not is_file and not _has_template(text, self.env):
            return text
        if self.name not in TEXT_FIELDS and _is_native(self.task):
            expression = _only_expression(self.env, text)
            if expression is not None:
                return self._value_of(expression)
        env = self.env
        if self.name not in FILE_FIELDS and env.finalize is None:
            env = env.overlay(finalize=self._as_text)
        return "".join(map(str, self._output(env.get_template(text) if is_file else env.from_string(text))))

    def _as_text(self, value: object) -> str:
        """Refuse what a template would give another meaning: the text ``None`` is somebody's external id."""
        if value is None or isinstance(value, bytes | bytearray | Mapping | Set | list | tuple):
            raise SourceError(
                f"a template in {self.name} gives text, and its value is of type {type(value).__name__}: hand over the "
                f"value itself, such as another task's output ({self.name}=task.output)"
            )
        return str(value)

    def _value_of(self, expression: Expr) -> Any:
        from jinja2 import Undefined, nodes

        assignment = nodes.Assign(nodes.Name(RESULT, "store"), expression, lineno=1)
        template = self.env.from_string(nodes.Template([assignment], lineno=1))
        variables = self._variables(template)
        deque(template.root_render_func(variables), maxlen=0)
        value = variables.vars[RESULT]
        return str(value) if isinstance(value, Undefined) else value  # Which a strict one refuses.

    def _output(self, template: Template) -> Iterator[Any]:
        return template.root_render_func(self._variables(template))

    def _variables(self, template: Template) -> Context:
        # Not as a dict, which would look up all that an Airflow context has to offer.
        variables = copy.copy(self.context)
        variables.update((key, value) for key, value in template.globals.items() if key not in variables)
        return self.env.context_class(self.env, variables, template.name, template.blocks)


def _is_file(task: Any, name: str, value: object) -> bool:
    return name in FILE_FIELDS and isinstance(value, str) and value.endswith(tuple(task.template_ext))


def _has_template(text: str, env: Environment) -> bool:
    starts = (env.variable_start_string, env.block_start_string, env.comment_start_string)
    return any(start in text for start in (*starts, env.line_statement_prefix, env.line_comment_prefix) if start)


def _only_expression(env: Environment, text: str) -> Expr | None:
    """Return the expression of a template that is nothing else."""
    from jinja2 import nodes

    match env.parse(text).body:
        case [nodes.Output(nodes=[expression])] if not isinstance(expression, nodes.TemplateData):
            return expression
    return None


def _is_native(task: Any) -> bool:
    own = getattr(task, "render_template_as_native_obj", None)  # Since Airflow 3.2.
    return bool(getattr(task.get_dag(), "render_template_as_native_obj", False) if own is None else own)


def as_given(task: Any, profiles: Any) -> Any:
    """Return a list of people as a task is to keep it: concealed, if the task is made out of a mapped one."""
    return Given(profiles) if profiles is not None and _is_mapped(task) else profiles


def _is_mapped(task: Any) -> bool:
    return bool(getattr(task, "_BaseOperator__from_mapped", False))


def _origin_of(task: Any, name: str, value: object, context: Any) -> object | None:
    """Return the reference that a field of a mapped task comes from; None for what the author wrote.

    The DAG has the mapped task in the place of this one, and that has what its author wrote: ``partial`` and
    ``expand``, or ``expand_kwargs``. Without a DAG nothing runs, and Airflow's mark will do.
    """
    dag = task.get_dag()
    mapped = None if dag is None else dag.task_dict.get(task.task_id)
    if mapped is None:
        return task if _is_mapped(task) else None
    expansion = getattr(mapped, "expand_input", None)
    if expansion is None or name in mapped.partial_kwargs:
        return None
    given = expansion.value
    if isinstance(given, Mapping):
        given = given.get(name)
    elif value is dag.default_args.get(name):
        given = None
    elif not _is_reference(given):
        given = given[context["ti"].map_index]
    return given if _is_reference(given) else None


def _is_of_query(reference: object, handler: str | None = None) -> bool:
    """Tell whether a reference stands for the result of a SQL operator, whose rows are lists on Airflow 2.11.

    :param handler: the name of what fetches the result; None for any.
    """
    for operator, _ in getattr(reference, "iter_references", tuple)():
        bases = getattr(operator, "operator_class", type(operator)).__mro__
        if any(base.__name__ == "BaseSQLOperator" for base in bases):
            return handler in (None, getattr(getattr(operator, "handler", None), "__name__", None))
    return False


def _is_reference(value: object) -> bool:
    """Tell whether a value stands for what another task returns."""
    return hasattr(value, "iter_references")
