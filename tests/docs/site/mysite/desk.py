from realtime import EventError, NamespaceConsumer, event


class DeskConsumer(NamespaceConsumer):
    @event
    async def upload(self, name: str, content: bytes):
        self.emit("preview", {"name": name, "start": content[:100]})
        return len(content)

    @event
    async def move(self, x: int, y: int):
        if not (0 <= x < 8 and 0 <= y < 8):
            raise EventError("off the board", {"size": 8}, code="off_board")
        return x, y

    @event
    async def confirm(self):
        answer = await self.acall("are you sure?", timeout=30)
        return "deleted" if answer else "kept"

    @event
    async def start(self):
        self.emit("question", "ready?", callback=self.answered)

    async def answered(self, answer):
        self.emit("answered", answer)
