from socketio.packet import BINARY_EVENT, CONNECT, EVENT, Packet


def recovering():
    """Return a class of packets by which one client comes back, to each of its namespaces."""
    pids, offsets = {}, {}

    class RecoveringPacket(Packet):
        def encode(self):
            name = self.namespace or "/"
            if self.packet_type == CONNECT and name in pids:
                back = {"pid": pids[name], "offset": offsets.get(name)}
                self.data = {**back, **(self.data or {})}
            return super().encode()

        def decode(self, encoded_packet):
            attachments = super().decode(encoded_packet)
            if self.packet_type == CONNECT:
                name, pid = self.namespace or "/", (self.data or {}).get("pid")
                if pids.get(name) != pid:  # it is a new client, to which nothing has come
                    pids[name], offsets[name] = pid, None
            elif not attachments:
                self.note_offset()
            return attachments

        def add_attachment(self, attachment):
            is_complete = super().add_attachment(attachment)
            if is_complete:
                self.note_offset()
            return is_complete

        def note_offset(self):
            """Take an event's offset, so that handlers get what was sent, and no more."""
            name = self.namespace or "/"
            if self.packet_type in (EVENT, BINARY_EVENT) and self.id is None and pids.get(name):
                offsets[name] = self.data.pop()

    return RecoveringPacket
