-- Mirrorcast datagrams for Wireshark: an unmodified iSCSI PDU and a trailer of 16 bytes. In a
-- sealed one the data is encrypted, or only signed, and a tag of 16 bytes stands behind.
--
-- The PDU goes to Wireshark's own iSCSI dissector; only the trailer is read here. So what a
-- capture shows of the PDU is a second opinion, not ours. The vendor PDUs of the connection
-- (0x1c, 0x3c, 0x3d) are named by a post-dissector, since iSCSI knows only their numbers.
--
-- Install: copy to the folder that Help > About > Folders calls "Personal Lua Plugins", or run
--   tshark -X lua_script:mirrorcast.lua -r capture.pcap

local HEADER, TRAILER, TAG = 48, 16, 16
local REPAIR, UNSUMMED, PROBE, OWN, COPY = 0x0001, 0x0002, 0x0004, 0x0008, 0x0010
local SEALED, RESERVED = 0x0020, 0xffc0

local PROBE_OPCODE = 0x40
local kinds = { [0x41] = "WRITE command", [0x05] = "Data-Out", [0x40] = "Probe" }

local proto = Proto("mirrorcast", "Mirrorcast")
proto.prefs.ports = Pref.range(
  "UDP ports", "5000", "Group ports whose datagrams are Mirrorcast's without asking", 65535)
proto.prefs.check = Pref.bool("Verify CRC32C", true, "Compute the checksum of each datagram")

local field = {
  kind = ProtoField.string("mirrorcast.kind", "Kind"),
  registration = ProtoField.uint32("mirrorcast.registration", "Registration", base.HEX),
  epoch = ProtoField.uint16("mirrorcast.epoch", "Epoch"),
  flags = ProtoField.uint16("mirrorcast.flags", "Flags", base.HEX),
  repair = ProtoField.bool("mirrorcast.flags.repair", "Repair", 16, nil, REPAIR),
  unsummed = ProtoField.bool(
    "mirrorcast.flags.unsummed", "Data not in the CRC", 16, nil, UNSUMMED),
  probe = ProtoField.bool("mirrorcast.flags.probe", "Probe", 16, nil, PROBE),
  own = ProtoField.bool("mirrorcast.flags.own", "To one leg's address", 16, nil, OWN),
  copy = ProtoField.bool("mirrorcast.flags.copy", "Copy between legs", 16, nil, COPY),
  sealed = ProtoField.bool("mirrorcast.flags.sealed", "Sealed", 16, nil, SEALED),
  reserved = ProtoField.uint16("mirrorcast.flags.reserved", "Reserved", base.HEX, nil, RESERVED),
  sequence = ProtoField.uint32("mirrorcast.sequence", "Sequence"),
  write = ProtoField.uint32("mirrorcast.write", "Write number"),
  counter = ProtoField.uint32("mirrorcast.counter", "Counter"),
  tag = ProtoField.bytes("mirrorcast.tag", "Tag"),
  crc = ProtoField.uint32("mirrorcast.crc", "CRC32C", base.HEX),
  crcGood = ProtoField.bool("mirrorcast.crc.good", "CRC32C good"),
}
proto.fields = field

local expert = {
  crc = ProtoExpert.new(
    "mirrorcast.crc.bad", "CRC32C is wrong", expert.group.CHECKSUM, expert.severity.ERROR),
  reserved = ProtoExpert.new(
    "mirrorcast.flags.unknown", "Reserved flags are not zero", expert.group.PROTOCOL,
    expert.severity.WARN),
}
proto.experts = expert

-- CRC32C, a table step for each byte.
local crcTable = {}
for index = 0, 255 do
  local value = index
  for _ = 1, 8 do
    local shifted = bit32.rshift(value, 1)
    value = value % 2 == 1 and bit32.bxor(shifted, 0x82f63b78) or shifted
  end
  crcTable[index] = value
end

local function crc32c(crc, bytes)
  local bxor, band, rshift, byte = bit32.bxor, bit32.band, bit32.rshift, string.byte
  for index = 1, #bytes do
    crc = bxor(crcTable[band(bxor(crc, byte(bytes, index)), 0xff)], rshift(crc, 8))
  end
  return crc
end

local function computedCRC(tvb, flags)
  local length = tvb:len()
  local crc = 0xffffffff
  if bit32.band(flags, UNSUMMED) == 0 then
    crc = crc32c(crc, tvb:raw(0, length - 4))
  else
    crc = crc32c(crc, tvb:raw(0, HEADER))
    crc = crc32c(crc, tvb:raw(length - TRAILER, TRAILER - 4))
  end
  return bit32.bnot(crc)
end

-- The whole test of belonging: a known opcode, no additional header, an exact length, which is
-- longer by the tag where the flags say that it is sealed. Returns where the trailer begins.
local function trailerOf(tvb)
  local length = tvb:len()
  if length ~= tvb:reported_len() or length < HEADER + TRAILER then return nil end
  if not kinds[tvb(0, 1):uint()] or tvb(4, 1):uint() ~= 0 then return nil end
  local at = HEADER + math.ceil(tvb(5, 3):uint() / 4) * 4
  if at + TRAILER > length then return nil end
  local isSealed = bit32.band(tvb(at + 6, 2):uint(), SEALED) ~= 0
  return length == at + TRAILER + (isSealed and TAG or 0) and at or nil
end

local function showTrailer(tvb, tree, at)
  local flags = tvb(at + 6, 2):uint()
  tree:add(field.registration, tvb(at, 4))
  tree:add(field.epoch, tvb(at + 4, 2))
  local flagTree = tree:add(field.flags, tvb(at + 6, 2))
  for _, name in ipairs({ "reserved", "sealed", "copy", "own", "probe", "unsummed", "repair" }) do
    flagTree:add(field[name], tvb(at + 6, 2))
  end
  if bit32.band(flags, RESERVED) ~= 0 then
    flagTree:add_proto_expert_info(expert.reserved)
  end
  tree:add(field.sequence, tvb(at + 8, 4))
  if bit32.band(flags, SEALED) ~= 0 then
    tree:add(field.counter, tvb(at + 12, 4))
    tree:add(field.tag, tvb(at + TRAILER, TAG))
    return flags
  end
  local crcTree = tree:add(field.crc, tvb(at + 12, 4))
  if proto.prefs.check then
    local good = computedCRC(tvb, flags) == tvb(at + 12, 4):uint()
    crcTree:add(field.crcGood, tvb(at + 12, 4), good):set_generated()
    if not good then crcTree:add_proto_expert_info(expert.crc) end
  end
  return flags
end

-- The lowest number at or above the lowest open one (ExpStatSN) whose tag is the ITT.
local function writeNumber(tvb)
  local lowest = tvb(28, 4):uint()
  return (lowest + (tvb(16, 4):uint() - lowest) % 2 ^ 30) % 2 ^ 32
end

function proto.dissector(tvb, pinfo, root)
  local at = trailerOf(tvb)
  if not at then return 0 end
  local kind = kinds[tvb(0, 1):uint()]

  -- The iSCSI dissector may ask a byte stream for more; a datagram has no more.
  pinfo.can_desegment = 0
  Dissector.get("iscsi"):call(tvb(0, at):tvb(), pinfo, root)
  -- It claimed the conversation for itself just now: take it back.
  pinfo.conversation = proto

  local tree = root:add(proto, tvb(at, tvb:len() - at))
  tree:add(field.kind, tvb(0, 1), kind):set_generated()
  local flags = showTrailer(tvb, tree, at)
  pinfo.cols.protocol = "Mirrorcast"
  if tvb(0, 1):uint() == PROBE_OPCODE then
    tree:append_text(": " .. kind)
    return tvb:len()
  end
  local number = writeNumber(tvb)
  tree:add(field.write, tvb(16, 4), number):set_generated()
  local repair = bit32.band(flags, REPAIR) ~= 0 and ", repair" or ""
  if bit32.band(flags, SEALED) ~= 0 then repair = repair .. ", sealed" end
  tree:append_text(string.format(": %s of write %d%s", kind, number, repair))
  pinfo.cols.info:append(string.format(" [write %d%s]", number, repair))
  return tvb:len()
end

local function heuristic(tvb, pinfo, root)
  if not trailerOf(tvb) then return false end
  proto.dissector(tvb, pinfo, root)
  return true
end
proto:register_heuristic("udp", heuristic)

local registeredPorts
function proto.init()
  local table = DissectorTable.get("udp.port")
  if registeredPorts then table:remove(registeredPorts, proto) end
  registeredPorts = proto.prefs.ports
  table:add(registeredPorts, proto)
end

-- On the connection, and on the stream for answers: names for the vendor opcodes.
local vendor = Proto("mirrorcast_tcp", "Mirrorcast on the connection")
local requestKinds = { [0] = "carried datagram", "sync", "fence", "attach" }
local answerKinds = { [0] = "report", "fenced", "probe seen", "deaf" }
local vendorField = {
  name = ProtoField.string("mirrorcast_tcp.name", "PDU"),
  registration = ProtoField.uint32("mirrorcast_tcp.registration", "Registration", base.HEX),
  epoch = ProtoField.uint16("mirrorcast_tcp.epoch", "Epoch"),
  write = ProtoField.uint32("mirrorcast_tcp.write", "Write number"),
  token = ProtoField.uint64("mirrorcast_tcp.token", "Token of the stream", base.HEX),
  drops = ProtoField.uint32("mirrorcast_tcp.drops", "Dropped at the leg's sockets"),
  group = ProtoField.uint32("mirrorcast_tcp.heard.group", "Heard of the group's"),
  own = ProtoField.uint32("mirrorcast_tcp.heard.own", "Heard at its own address"),
  groupSilence = ProtoField.uint8("mirrorcast_tcp.heard.group.silence", "Silent since, 65.536 us"),
  ownSilence = ProtoField.uint8("mirrorcast_tcp.heard.own.silence", "Silent since, 65.536 us"),
}
local ATTACH, REPORT = 3, 0
vendor.fields = vendorField

local opcodeField = Field.new("iscsi.opcode")
local function vendorName(opcode, kind)
  if opcode == 0x1c then return "Mirror request: " .. (requestKinds[kind] or "unknown") end
  if opcode == 0x3c then return "Mirror answer: " .. (answerKinds[kind] or "unknown") end
  if opcode == 0x3d then return "Mirror statuses" end
end

function vendor.dissector(_, pinfo, root)
  for _, found in ipairs({ opcodeField() }) do
    local bytes = found.range:tvb()
    local opcode = bit32.band(found.value, 0x3f)
    local source, at = found.source, found.offset
    if opcode >= 0x1c and vendorName(opcode, 0) and source:len() >= at + HEADER then
      local kind = bit32.band(source(at + 1, 1):uint(), 0x7f)
      local name = vendorName(opcode, kind)
      local tree = root:add(vendor, source(at, HEADER))
      tree:add(vendorField.name, source(at, 2), name)
      tree:add(vendorField.registration, source(at + 20, 4))
      if opcode == 0x1c and kind == ATTACH then
        -- It stands where other PDUs have the LUN; write number and epoch are not meant.
        tree:add(vendorField.token, source(at + 8, 8))
      else
        tree:add(vendorField.write, source(at + 36, 4))
        local epochAt = opcode == 0x1c and 32 or 40
        tree:add(vendorField.epoch, source(at + epochAt, 2))
      end
      if opcode == 0x3c then tree:add(vendorField.drops, source(at + 12, 4)) end
      if opcode == 0x3c and kind == REPORT then
        tree:add(vendorField.group, source(at + 8, 4))
        tree:add(vendorField.own, source(at + 44, 4))
        tree:add(vendorField.groupSilence, source(at + 2, 1))
        tree:add(vendorField.ownSilence, source(at + 3, 1))
      end
      tree:append_text(", " .. name)
      pinfo.cols.info:append(" [" .. name .. "]")
    end
  end
end
register_postdissector(vendor)
