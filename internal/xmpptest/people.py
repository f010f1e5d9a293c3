"""People with an XMPP client, slixmpp, for tests. One JSON object a line: commands on
standard input, what reaches each person on standard output."""

import asyncio
import json
import sys

import slixmpp


class Person(slixmpp.ClientXMPP):
    def __init__(self, who, command):
        super().__init__(command["jid"], command["password"])
        self.who, self.priority = who, command.get("priority", 0)
        self.ca_certs = command["ca"]
        self.use_aiodns = False
        for plugin in ("xep_0030", "xep_0054", "xep_0092", "xep_0115", "xep_0184", "xep_0199"):
            self.register_plugin(plugin)
        self["xep_0184"].auto_ack = command.get("acknowledges", True)
        self.auto_authorize = self.auto_subscribe = command.get("befriends", True)
        self.add_event_handler("session_start", self.start)
        self.add_event_handler("failed_auth", lambda _: self.emit("failed", "auth"))
        self.add_event_handler("disconnected", lambda _: self.emit("offline"))
        self.add_filter("in", self.saw)
        self.connect((command["host"], command["port"]))

    def emit(self, event, text=""):
        print(json.dumps({"who": self.who, "event": event, "text": str(text)}), flush=True)

    async def start(self, _):
        await self.get_roster()
        self.send_presence(ppriority=self.priority)
        self.emit("online", self.boundjid.full)

    def saw(self, stanza):
        if stanza.name in ("message", "presence", "iq"):
            self.emit("stanza", stanza)
        return stanza


async def main():
    people = {}
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_event_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        who = command["who"]
        if command["do"] == "login":
            people[who] = Person(who, command)
        elif command["do"] == "send":
            people[who].send_raw(command["xml"])
        elif command["do"] == "abort":
            people[who].abort()
        elif command["do"] == "logout":
            if who in people:
                people.pop(who).disconnect(wait=0.2)


asyncio.get_event_loop().run_until_complete(main())
