"""A DLMS client by somebody else, driven line by line: JSON tasks in, JSON results out.

Runs in an environment and a process of its own, with gurux-dlms (GPLv2) and without anything of
this project; nothing here imports it, and it imports nothing from here. What a task holds goes to
the library as it is.
"""

import datetime
import json
import socket
import struct
import sys

from gurux_dlms import GXBitString, GXByteBuffer, GXDateTime, GXDLMSException, GXReplyData, GXTime
from gurux_dlms.enums import (
    Authentication,
    DataType,
    DateTimeSkips,
    InterfaceType,
    ObjectType,
    Security,
)
from gurux_dlms.objects import (
    GXDLMSDayProfile,
    GXDLMSDayProfileAction,
    GXDLMSObject,
    GXDLMSSeasonProfile,
    GXDLMSWeekProfile,
)
from gurux_dlms.secure import GXDLMSSecureClient

# The library prints to stdout as it likes: results have a stream of their own.
RESULTS = sys.stdout
sys.stdout = sys.stderr

AUTHENTICATIONS = {
    "none": Authentication.NONE,
    "lls": Authentication.LOW,
    "gmac": Authentication.HIGH_GMAC,
}

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def plain(value):
    """Return a value as JSON can hold it."""
    if isinstance(value, (bytes, bytearray)):
        return {"hex": bytes(value).hex()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, GXBitString):
        return {"bits": str(value)}
    moment = getattr(value, "value", None)
    if isinstance(moment, datetime.datetime):
        return {"time": moment.isoformat()}
    return {"text": str(value)}


HDLC_SERVER = 1
WINDOW = 1
"""Of HDLC: with a wider one the library loses count of the frames it has acknowledged."""


class Client:
    """One association over TCP, behind the wrapper or on an HDLC link."""

    def __init__(self, task):
        """Connect and associate, by all passes that the security needs."""
        kind = AUTHENTICATIONS[task["authentication"]]
        self.over_hdlc = "information" in task
        interface = InterfaceType.HDLC if self.over_hdlc else InterfaceType.WRAPPER
        self.client = GXDLMSSecureClient(
            True, task["sap"], HDLC_SERVER, kind, task.get("password"), interface
        )
        self.client.maxReceivePDUSize = task.get("max_pdu", 0xFFFF)
        if "system_title" in task:
            ciphering = self.client.ciphering
            ciphering.security = Security.AUTHENTICATION_ENCRYPTION
            ciphering.systemTitle = bytes.fromhex(task["system_title"])
            ciphering.blockCipherKey = bytes.fromhex(task["encryption"])
            ciphering.authenticationKey = bytes.fromhex(task["authentication_key"])
            ciphering.invocationCounter = task["counter"]
        self.socket = socket.create_connection((task["host"], task["port"]), timeout=20)
        if self.over_hdlc:
            settings = self.client.hdlcSettings
            settings.maxInfoTX = settings.maxInfoRX = task["information"]
            settings.windowSizeTX = settings.windowSizeRX = WINDOW
            self.client.parseUAResponse(self.ask(self.client.snrmRequest()).data)
        self.client.parseAareResponse(self.ask(self.client.aarqRequest()).data)
        if kind > Authentication.LOW:
            proof = self.ask(self.client.getApplicationAssociationRequest())
            self.client.parseApplicationAssociationResponse(proof.data)

    def exchange(self, frame, reply):
        """Send one frame and read the answer; raise where it is an error."""
        if isinstance(frame, list):
            for one in frame:
                self.exchange(one, reply)
            return
        self.socket.sendall(frame)
        received = GXByteBuffer()
        while True:
            received.set(self.frame() if self.over_hdlc else self.message())
            if self.client.getData(received, reply):
                break
        if reply.error != 0:
            raise GXDLMSException(reply.error)

    def message(self):
        """Return a message with its wrapper."""
        head = self.take(8)
        return head + self.take(struct.unpack(">HHHH", head)[3])

    def frame(self):
        """Return an HDLC frame: flag, two bytes whose last 11 bits are its length, to its flag."""
        head = self.take(3)
        length = struct.unpack(">H", head[1:])[0] & 0x7FF
        return head + self.take(length + 2 - len(head))

    def take(self, count):
        """Return so many bytes of the socket."""
        found = b""
        while len(found) < count:
            more = self.socket.recv(count - len(found))
            if not more:
                raise OSError("the meter hung up")
            found += more
        return found

    def ask(self, frames):
        """Send frames, fetch all further blocks, and return the reply."""
        reply = GXReplyData()
        for frame in frames if isinstance(frames, list) else [frames]:
            reply.clear()
            self.exchange(frame, reply)
            while reply.isMoreData():
                self.exchange(self.client.receiverReady(reply), reply)
        return reply

    def object(self, task):
        """Return the library's object of a task: of its view where it has been read."""
        kind = ObjectType(task["class"])
        found = self.client.objects.findByLN(kind, task["name"])
        if found is None:
            found = self.client.createObject(kind)
            found.logicalName = task["name"]
        return found

    def read(self, which, attribute):
        """Return an attribute as it came, and as the library understands it."""
        if which.objectType == ObjectType.PROFILE_GENERIC and attribute == 2:
            which.buffer = []  # else what was read before stays in front
        reply = self.ask(self.client.read(which, attribute))
        came = plain(reply.value)
        if type(which) is GXDLMSObject:
            return came, reply.value
        if which.getDataType(attribute) == DataType.NONE:
            which.setDataType(attribute, reply.valueType)
        return came, self.client.updateValue(which, attribute, reply.value)

    def view(self):
        """Read the association view."""
        reply = self.ask(self.client.getObjectsRequest())
        found = self.client.parseObjects(reply.data, False, False)
        return [[int(one.objectType), one.logicalName, one.version] for one in found]

    def read_all(self):
        """Read every attribute that the view lets us read: what failed, and values by name.

        ``came`` has them as the library decoded the bytes, ``values`` as its objects have them.
        """
        failed, came, values = [], {}, {}
        for one in self.client.objects:
            # What the library has no class for (the arbitrator) it knows by the view alone.
            if type(one) is GXDLMSObject:
                numbers = [right.index for right in one.attributes]
            else:
                numbers = range(1, one.getAttributeCount() + 1)
            # A profile's columns come before its rows: without them the library can't read these.
            for attribute in sorted(numbers, key=lambda n: n == 2):
                access = int(one.getAccess(attribute))
                if not access & 1:
                    continue
                place = f"{int(one.objectType)} {one.logicalName} {attribute}"
                try:
                    came[place], value = self.read(one, attribute)
                    values[place] = plain(value)
                except Exception as error:
                    failed.append([place, repr(error)])
        return {"failed": failed, "came": came, "values": values}

    def range(self, task):
        """Read rows of a profile by time."""
        which = self.profile(task)
        first = datetime.datetime.fromisoformat(task["from"])
        last = datetime.datetime.fromisoformat(task["to"])
        which.buffer = []
        reply = self.ask(self.client.readRowsByRange(which, first, last))
        return plain(self.client.updateValue(which, 2, reply.value))

    def entries(self, task):
        """Read rows of a profile by place."""
        which = self.profile(task)
        which.buffer = []
        reply = self.ask(self.client.readRowsByEntry(which, task["first"], task["count"]))
        return plain(self.client.updateValue(which, 2, reply.value))

    def profile(self, task):
        """Return a profile whose columns are known."""
        which = self.object({"class": 7, "name": task["name"]})
        self.read(which, 3)
        return which

    def write(self, task):
        """Write an attribute, by the name that the library has for it."""
        which = self.object(task)
        setattr(which, task["property"], task["value"])
        self.ask(self.client.write(which, task["attribute"]))
        return True

    def tariff(self, task):
        """Send a passive calendar of one season and one week, table by table."""
        calendar = self.object({"class": 20, "name": "0.0.13.0.0.255"})
        calendar.calendarNamePassive = task["name"]
        start = GXDateTime(datetime.datetime(2000, 1, 1))  # noqa: DTZ001 - on the wall
        start.skip |= DateTimeSkips.YEAR | DateTimeSkips.DAY_OF_WEEK | DateTimeSkips.DEVITATION
        season = GXDLMSSeasonProfile()
        season.name, season.start, season.weekName = b"all", start, b"week"
        calendar.seasonProfilePassive = [season]
        week = GXDLMSWeekProfile()
        week.name = b"week"
        for name, day in zip(WEEKDAYS, task["week"], strict=True):
            setattr(week, name, day)
        calendar.weekProfileTablePassive = [week]
        days = []
        for day_id, switches in task["days"]:
            day = GXDLMSDayProfile()
            day.dayId = day_id
            day.daySchedules = []
            for hour, tariff in switches:
                action = GXDLMSDayProfileAction()
                action.startTime = GXTime(datetime.datetime(2000, 1, 1, hour))  # noqa: DTZ001
                action.scriptLogicalName = "0.0.10.0.100.255"
                action.scriptSelector = tariff
                day.daySchedules.append(action)
            days.append(day)
        calendar.dayProfileTablePassive = days
        for attribute in (6, 7, 8, 9):
            self.ask(self.client.write(calendar, attribute))
        self.ask(self.client.method(calendar, 1, 0, DataType.INT8))
        return True

    def method(self, task):
        """Call a method."""
        which = self.object(task)
        value, kind = task.get("value", 0), DataType(task.get("type", 15))
        if "hex" in task:
            value = bytes.fromhex(task["hex"])
        self.ask(self.client.method(which, task["method"], value, kind))
        return True

    def close(self):
        """Release and hang up."""
        try:
            self.ask(self.client.releaseRequest())
            if self.over_hdlc:
                self.ask(self.client.disconnectRequest(True))
        finally:
            self.socket.close()
        return True


def main():
    """Do tasks until the input ends."""
    client = None
    for line in sys.stdin:
        task = json.loads(line)
        try:
            if task["do"] == "connect":
                client = Client(task)
                result = True
            elif task["do"] == "read":
                result = plain(client.read(client.object(task), task["attribute"])[1])
            elif task["do"] in ("view", "read_all", "close"):
                result = getattr(client, task["do"])()
            else:
                result = getattr(client, task["do"])(task)
            answer = {"result": result}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=RESULTS, flush=True)


if __name__ == "__main__":
    main()
