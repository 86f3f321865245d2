"""Fields of a task arrive as its author wrote them, or as another task returned them: no value is changed on its way."""
