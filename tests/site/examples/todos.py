"""A list of things to do that is kept on the server, and the same for all: create to delete."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID, uuid4

from msgspec import Meta, Struct, to_builtins

from realtime import EventError, NamespaceConsumer, event


class NewTodo(Struct, forbid_unknown_fields=True):
    """What a client gives."""

    title: Annotated[str, Meta(min_length=1, max_length=256)]
    completed: bool = False


class Todo(NewTodo, forbid_unknown_fields=True):
    """What is kept."""

    id: UUID = UUID(int=0)


_todos: dict[UUID, Todo] = {}


class TodoConsumer(NamespaceConsumer):
    """The namespace "/todos"."""

    @event("todo:list")
    async def list(self) -> Any:
        return list(_todos.values())

    @event("todo:create")
    async def create(self, new: NewTodo) -> UUID:
        todo = Todo(**to_builtins(new), id=uuid4())
        _todos[todo.id] = todo
        self.broadcast.emit("todo:created", todo)
        return todo.id

    @event("todo:read")
    async def read(self, key: UUID) -> Todo:
        return self._find(key)

    @event("todo:update")
    async def update(self, todo: Todo) -> None:
        self._find(todo.id)
        _todos[todo.id] = todo
        self.broadcast.emit("todo:updated", todo)

    @event("todo:delete")
    async def delete(self, key: UUID) -> None:
        del _todos[self._find(key).id]
        self.broadcast.emit("todo:deleted", key)

    def _find(self, key: UUID) -> Todo:
        if key not in _todos:
            raise EventError("entity not found", code="not_found")
        return _todos[key]
