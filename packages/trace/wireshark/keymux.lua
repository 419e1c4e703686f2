-- Shows keymux and SPDY/3.1 sessions in Wireshark and tshark, over TCP (port 6121, or by its first bytes) and WebSocket.
--
--   wireshark -X lua_script:keymux.lua              tshark -X lua_script:keymux.lua -r session.pcap -Y keymux
--
-- or copy it to the folder that Wireshark names under Help > About > Folders > Personal Lua Plugins. Header blocks in the clear stay
-- compressed here: Wireshark's own dissector shows them (Decode As... SPDY), and keymux dump does.

local keymux = Proto("keymux", "keymux session (SPDY/3.1)")

local DATA = -1
local SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY = 1, 2, 3, 4, 6, 7
local HEADERS, WINDOW_UPDATE, KEY_GONE, KEY_NEGO, SEALED = 8, 9, 0x47, 0x4B, 0x53

local TYPES = {
  [SYN_STREAM] = "SYN_STREAM", [SYN_REPLY] = "SYN_REPLY", [RST_STREAM] = "RST_STREAM", [SETTINGS] = "SETTINGS",
  [PING] = "PING", [GOAWAY] = "GOAWAY", [HEADERS] = "HEADERS", [WINDOW_UPDATE] = "WINDOW_UPDATE",
  [KEY_GONE] = "KEY_GONE", [KEY_NEGO] = "KEY_NEGO", [SEALED] = "SEALED",
}
local ALGORITHMS = {
  [1] = "psk", [2] = "spiped", [3] = "psk-x25519", [4] = "signed", [5] = "anonymous", [6] = "hybrid",
}
local SETTING_IDS = {
  [4] = "MAX_CONCURRENT_STREAMS", [7] = "INITIAL_WINDOW_SIZE", [0x4B4D58] = "KEYMUX",
  [0x4B4D53] = "KEYMUX_SWITCH_LIMIT", [0x4B4D46] = "KEYMUX_FRONT",
}
local RST_STATUS = {
  [1] = "PROTOCOL_ERROR", [2] = "INVALID_STREAM", [3] = "REFUSED_STREAM", [4] = "UNSUPPORTED_VERSION", [5] = "CANCEL",
  [6] = "INTERNAL_ERROR", [7] = "FLOW_CONTROL_ERROR", [8] = "STREAM_IN_USE", [9] = "STREAM_ALREADY_CLOSED",
  [11] = "FRAME_TOO_LARGE",
}
local GOAWAY_STATUS = {
  [0] = "OK", [1] = "PROTOCOL_ERROR", [2] = "INTERNAL_ERROR", [7] = "FLOW_CONTROL_ERROR", [11] = "FRAME_TOO_LARGE",
  [0x4B01] = "KEY_FAILURE", [0x4B02] = "EXCESSIVE_LOAD",
}
local REJECT_REASONS = {
  [1] = "unknown ALG_ID", [2] = "not allowed here", [3] = "too many runs in progress", [4] = "no renegotiation",
}

local f = {
  type = ProtoField.string("keymux.type", "Type"),
  length = ProtoField.uint24("keymux.length", "Length"),
  flags = ProtoField.uint8("keymux.flags", "Flags", base.HEX),
  fin = ProtoField.bool("keymux.flags.fin", "FIN", 8, nil, 0x01),
  unidirectional = ProtoField.bool("keymux.flags.unidirectional", "UNIDIRECTIONAL", 8, nil, 0x02),
  reject = ProtoField.bool("keymux.flags.reject", "REJECT", 8, nil, 0x02),
  retire = ProtoField.bool("keymux.flags.retire", "RETIRE", 8, nil, 0x04),
  stream = ProtoField.uint32("keymux.stream", "Stream ID"),
  associated = ProtoField.uint32("keymux.associated", "Associated stream ID"),
  priority = ProtoField.uint8("keymux.priority", "Priority", base.DEC, nil, 0xE0),
  slot = ProtoField.uint8("keymux.slot", "Slot (key ID)"),
  block = ProtoField.bytes("keymux.header_block", "Header block, compressed"),
  rst_status = ProtoField.uint32("keymux.rst_status", "Status", base.DEC, RST_STATUS),
  goaway_status = ProtoField.uint32("keymux.goaway_status", "Status", base.DEC, GOAWAY_STATUS),
  last_good = ProtoField.uint32("keymux.last_good", "Last good stream ID"),
  ping = ProtoField.uint32("keymux.ping", "PING ID"),
  delta = ProtoField.uint32("keymux.delta", "Delta"),
  setting = ProtoField.uint24("keymux.setting", "Setting", base.HEX, SETTING_IDS),
  value = ProtoField.uint32("keymux.setting.value", "Value"),
  depth = ProtoField.uint8("keymux.depth", "Nesting depth"),
  payload = ProtoField.bytes("keymux.payload", "Payload"),
  key = ProtoField.uint8("keymux.key", "Key ID"),
  generation = ProtoField.uint8("keymux.generation", "Generation"),
  ciphertext = ProtoField.bytes("keymux.ciphertext", "Ciphertext"),
  tag = ProtoField.bytes("keymux.tag", "Authentication tag"),
  algorithm = ProtoField.uint8("keymux.nego.algorithm", "Algorithm", base.DEC, ALGORITHMS),
  data_length = ProtoField.uint16("keymux.nego.data_length", "Data length"),
  data = ProtoField.bytes("keymux.nego.data", "Message"),
  offer = ProtoField.uint32("keymux.nego.offer", "Offer", base.HEX),
  label = ProtoField.string("keymux.nego.label", "Label"),
  authority = ProtoField.string("keymux.nego.authority", "Authority"),
  reason = ProtoField.uint8("keymux.nego.reason", "Reason", base.DEC, REJECT_REASONS),
  accepted = ProtoField.uint8("keymux.nego.accepted", "Would accept", base.DEC, ALGORITHMS),
}
for _, field in pairs(f) do keymux.fields[#keymux.fields + 1] = field end

local malformed = ProtoExpert.new("keymux.malformed", "Malformed frame", expert.group.MALFORMED, expert.severity.ERROR)
keymux.experts = { malformed }

local MAX_FRAME = 16 * 1024 * 1024 + 8

-- The first KEY_NEGO of a key ID on a connection is at this packet: it begins with the offer.
local first_nego = {}
-- What a WebSocket message left over, by connection and direction; and what each packet was given in front of its message.
local leftover, given = {}, {}

function keymux.init()
  first_nego, leftover, given = {}, {}, {}
end

local tcp_stream = Field.new("tcp.stream")

local function connection(pinfo)
  local number = tcp_stream()
  return number and tostring(number) or (tostring(pinfo.src) .. tostring(pinfo.dst))
end

local function names_of(bits)
  local names = {}
  for id = 0, 23 do
    if bit.band(bit.rshift(bits, id), 1) == 1 then names[#names + 1] = ALGORITHMS[id] or tostring(id) end
  end
  return table.concat(names, ", ")
end

local function stream_id(tree, tvb, field)
  tree:add(field, tvb, bit.band(tvb:uint(), 0x7FFFFFFF))
end

local function dissect_settings(body, tree)
  for at = 4, body:len() - 8, 8 do
    local id, value = body(at + 1, 3):uint(), body(at + 4, 4):uint()
    local entry = tree:add(f.setting, body(at + 1, 3))
    entry:add(f.value, body(at + 4, 4))
    if id == 0x4B4D58 then
      entry:add(f.depth, body(at + 4, 1))
      entry:append_text(": " .. names_of(bit.band(value, 0xFFFFFF)))
    else
      entry:append_text(" = " .. value)
    end
  end
end

local function dissect_nego(body, flags, tree, pinfo)
  if body:len() < 4 then return "KEY_NEGO, malformed" end
  local id, data = body(0, 1):uint(), body(4)
  tree:add(f.key, body(0, 1))
  tree:add(f.algorithm, body(1, 1))
  tree:add(f.data_length, body(2, 2))
  local name = ALGORITHMS[body(1, 1):uint()] or tostring(body(1, 1):uint())
  if bit.band(flags, 4) ~= 0 then return string.format("KEY_NEGO retires key %d", id) end
  if bit.band(flags, 2) ~= 0 then
    if data:len() >= 2 then
      tree:add(f.reason, data(0, 1))
      for at = 2, data:len() - 1 do tree:add(f.accepted, data(at, 1)) end
    end
    return string.format("KEY_NEGO rejects key %d", id)
  end
  local name_of_run = connection(pinfo) .. " " .. id
  first_nego[name_of_run] = first_nego[name_of_run] or pinfo.number
  tree:add(f.data, data)
  if first_nego[name_of_run] ~= pinfo.number or data:len() < 6 then
    return string.format("KEY_NEGO goes on with key %d, %s", id, name)
  end
  local label_length = data(4, 1):uint()
  if data:len() < 6 + label_length then return string.format("KEY_NEGO asks for key %d, %s", id, name) end
  local authority_length = data(5 + label_length, 1):uint()
  if data:len() < 6 + label_length + authority_length then return string.format("KEY_NEGO asks for key %d, %s", id, name) end
  tree:add(f.offer, data(0, 4)):append_text(": " .. names_of(data(0, 4):uint()))
  tree:add(f.label, data(5, label_length))
  local authority = data:range(6 + label_length, authority_length)
  tree:add(f.authority, authority)
  local whom = authority_length > 0 and authority:string() or "the peer itself"
  return string.format("KEY_NEGO asks for key %d for %s, %s", id, whom, name)
end

-- The body of a control frame; returns what the packet list says.
local function dissect_control(kind, flags, body, tree, pinfo)
  local name = TYPES[kind] or string.format("type 0x%04X", kind)
  local function stream_and(field)
    stream_id(tree, body(0, 4), f.stream)
    tree:add(field, body(4, 4))
    return string.format("%s stream %d", name, bit.band(body(0, 4):uint(), 0x7FFFFFFF))
  end
  if kind == SYN_STREAM then
    stream_id(tree, body(0, 4), f.stream)
    stream_id(tree, body(4, 4), f.associated)
    tree:add(f.priority, body(8, 1))
    tree:add(f.slot, body(9, 1))
    if body:len() > 10 then tree:add(f.block, body(10)) end
  elseif kind == SYN_REPLY or kind == HEADERS then
    stream_id(tree, body(0, 4), f.stream)
    if body:len() > 4 then tree:add(f.block, body(4)) end
  elseif kind == RST_STREAM then
    return stream_and(f.rst_status)
  elseif kind == WINDOW_UPDATE then
    return stream_and(f.delta)
  elseif kind == SETTINGS then
    dissect_settings(body, tree)
    return name
  elseif kind == PING then
    tree:add(f.ping, body(0, 4))
    return name
  elseif kind == GOAWAY then
    stream_id(tree, body(0, 4), f.last_good)
    tree:add(f.goaway_status, body(4, 4))
    return name
  elseif kind == KEY_GONE then
    tree:add(f.key, body(0, 1))
    tree:add(f.goaway_status, body(4, 4))
    return string.format("KEY_GONE key %d", body(0, 1):uint())
  elseif kind == KEY_NEGO then
    return dissect_nego(body, flags, tree, pinfo)
  elseif kind == SEALED then
    tree:add(f.key, body(0, 1))
    tree:add(f.generation, body(1, 1))
    if body:len() > 18 then tree:add(f.ciphertext, body(2, body:len() - 18)) end
    tree:add(f.tag, body(body:len() - 16, 16))
    return string.format("SEALED key %d.%d", body(0, 1):uint(), body(1, 1):uint())
  else
    return name
  end
  return string.format("%s stream %d", name, bit.band(body(0, 4):uint(), 0x7FFFFFFF))
end

local SHORTEST = {
  [SYN_STREAM] = 10, [SYN_REPLY] = 4, [HEADERS] = 4, [RST_STREAM] = 8, [WINDOW_UPDATE] = 8, [SETTINGS] = 4, [PING] = 4,
  [GOAWAY] = 8, [KEY_GONE] = 8, [KEY_NEGO] = 4, [SEALED] = 18,
}

local function dissect_frame(frame, pinfo, root)
  local control = bit.band(frame(0, 1):uint(), 0x80) ~= 0
  local kind = control and frame(2, 2):uint() or DATA
  local flags, length = frame(4, 1):uint(), frame(5, 3):uint()
  local tree = root:add(keymux, frame())
  tree:add(f.type, frame(0, 4), control and (TYPES[kind] or string.format("0x%04X", kind)) or "DATA")
  local flag_tree = tree:add(f.flags, frame(4, 1))
  flag_tree:add(f.fin, frame(4, 1))
  if kind == SYN_STREAM then flag_tree:add(f.unidirectional, frame(4, 1)) end
  if kind == KEY_NEGO then
    flag_tree:add(f.reject, frame(4, 1))
    flag_tree:add(f.retire, frame(4, 1))
  end
  tree:add(f.length, frame(5, 3))
  local text
  if not control then
    stream_id(tree, frame(0, 4), f.stream)
    if length > 0 then tree:add(f.payload, frame(8)) end
    text = string.format("DATA stream %d, %d bytes", bit.band(frame(0, 4):uint(), 0x7FFFFFFF), length)
  elseif length < (SHORTEST[kind] or 0) or bit.band(frame(0, 2):uint(), 0x7FFF) ~= 3 then
    tree:add_proto_expert_info(malformed)
    text = (TYPES[kind] or "control frame") .. ", malformed"
  else
    text = dissect_control(kind, flags, length > 0 and frame(8):tvb() or ByteArray.new():tvb("empty"), tree, pinfo)
  end
  tree:append_text(": " .. text)
  return text
end

-- Dissects whole frames; returns how many bytes they took, and how many more the next one needs (or -1 for its head).
local function dissect_frames(tvb, pinfo, root)
  local at, texts = 0, {}
  local missing = 0
  while at < tvb:len() do
    if tvb:len() - at < 8 then
      missing = -1
      break
    end
    local total = 8 + tvb(at + 5, 3):uint()
    if tvb:len() - at < total then
      missing = total - (tvb:len() - at)
      break
    end
    texts[#texts + 1] = dissect_frame(tvb(at, total):tvb(), pinfo, root)
    at = at + total
  end
  if #texts > 0 then
    pinfo.cols.protocol = "keymux"
    pinfo.cols.info = table.concat(texts, "; ")
  end
  return at, missing
end

-- Over TCP, Wireshark puts segments together.
function keymux.dissector(tvb, pinfo, root)
  local first = tvb(0, 1):uint()
  if first >= 0x41 and first <= 0x5A then return 0 end -- an HTTP request for a WebSocket or an upgrade
  local taken, missing = dissect_frames(tvb, pinfo, root)
  if missing ~= 0 then
    pinfo.desegment_offset = taken
    pinfo.desegment_len = missing == -1 and DESEGMENT_ONE_MORE_SEGMENT or missing
  end
  return tvb:len()
end

-- WebSocket messages are slices of a byte stream, which nobody but us puts together.
local sliced = Proto("keymux_ws", "keymux session in WebSocket messages")

function sliced.dissector(tvb, pinfo, root)
  local direction = connection(pinfo) .. " " .. pinfo.src_port
  -- A packet can hold several messages; unmasked ones have no offset in it that would tell them apart.
  local place = pinfo.number .. " " .. tvb:len() .. " " .. tvb(0, math.min(tvb:len(), 64)):bytes():tohex()
  if given[place] == nil then given[place] = leftover[direction] or ByteArray.new() end
  local bytes = ByteArray.new()
  bytes:append(given[place])
  bytes:append(tvb():bytes())
  local whole = given[place]:len() > 0 and bytes:tvb("Slices put together") or tvb
  local taken = dissect_frames(whole, pinfo, root)
  if not pinfo.visited then
    local rest = taken < bytes:len() and bytes:subset(taken, bytes:len() - taken) or ByteArray.new()
    leftover[direction] = rest:len() < MAX_FRAME and rest or ByteArray.new()
  end
  return tvb:len()
end

-- A session begins with SETTINGS in practice.
local function begins_session(tvb, pinfo, root)
  if tvb:len() < 8 or tvb(0, 4):uint() ~= 0x80030004 then return false end
  pinfo.conversation = keymux
  keymux.dissector(tvb, pinfo, root)
  return true
end

DissectorTable.get("tcp.port"):add(6121, keymux)
DissectorTable.get("ws.protocol"):add("spdy-3.1", sliced)
keymux:register_heuristic("tcp", begins_session)
