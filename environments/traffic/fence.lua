-- The fence of the load balancer: one command that compares the caller's epoch with the highest one
-- accepted so far, refuses older callers, and sets all weights of a backend at once.
--
-- Commands on the stats socket (each answers one line):
--   opsc shift <backend> <epoch> <server>=<weight> [...]   ok ... | refused epoch=<current> | error <what>
--   opsc fence <backend> <epoch>                           ok ... | refused epoch=<current> | error <what>
--   opsc show <backend>                                    ok ... | error <what>
-- "ok" is followed by: epoch=<n> <server>=<weight>:<status> ...   (weight and status as HAProxy has them now)
--
-- The accepted epoch and weights live in the file named by OPSC_FENCE_STATE, one line a backend:
--   <backend> <sequence> <epoch> <server>=<weight> ...
-- It is replaced by rename, read again before every command, and applied before the first request is
-- served, so a process that was killed or reloaded comes back with what was accepted last.

local STATE_PATH = os.getenv("OPSC_FENCE_STATE")
local JOURNAL_PATH = STATE_PATH and STATE_PATH:gsub("%.state$", "") .. ".journal"
local MAX_WEIGHT = 256
local known = {} -- backend name -> the newest entry that this process has applied

local function parse_int(text)
  if type(text) == "string" and text:match("^%d+$") and #text <= 15 then
    return math.tointeger(tonumber(text))
  end
  return nil
end

local function parse_weights(words, first)
  local weights, count = {}, 0
  for index = first, #words do
    local server, number = words[index]:match("^([%w_.:%-]+)=(%d+)$")
    local weight = parse_int(number)
    if not server or not weight then
      return nil, "cannot read " .. words[index] .. ", expected <server>=<weight>"
    end
    if weight > MAX_WEIGHT then
      return nil, "weight " .. weight .. " of " .. server .. " is outside 0.." .. MAX_WEIGHT
    end
    if weights[server] then
      return nil, "server " .. server .. " is named twice"
    end
    weights[server] = weight
    count = count + 1
  end
  return weights, count
end

local function split(line)
  local words = {}
  for word in line:gmatch("%S+") do
    words[#words + 1] = word
  end
  return words
end

-- Reads the state file; a missing file is a first start. Raises when a line cannot be understood: to
-- guess weights could send requests to a slot that must not have them.
local function load_state()
  local state = {}
  local file, _, code = io.open(STATE_PATH, "r")
  if not file then
    if code == 2 then
      return state
    end
    error("cannot open the fence state " .. STATE_PATH)
  end
  for line in file:lines() do
    local words = split(line)
    local sequence, epoch = parse_int(words[2]), parse_int(words[3])
    local weights = parse_weights(words, 4)
    if not (words[1] and sequence and epoch and weights) then
      file:close()
      error("the fence state " .. STATE_PATH .. " has a line that cannot be read: " .. line)
    end
    state[words[1]] = { sequence = sequence, epoch = epoch, weights = weights }
  end
  file:close()
  return state
end

local function save_state(state)
  local lines = {}
  for backend, entry in pairs(state) do
    local words = { backend, tostring(entry.sequence), tostring(entry.epoch) }
    for server, weight in pairs(entry.weights) do
      words[#words + 1] = server .. "=" .. weight
    end
    lines[#lines + 1] = table.concat(words, " ") .. "\n"
  end
  local file, reason = io.open(STATE_PATH .. ".tmp", "w")
  if not file then
    return nil, reason
  end
  local written, failure = file:write(table.concat(lines))
  local closed = file:close()
  if not written or not closed then
    return nil, failure or "cannot write " .. STATE_PATH .. ".tmp"
  end
  return os.rename(STATE_PATH .. ".tmp", STATE_PATH)
end

-- What was accepted, for people and tests to compare with the audit trail; a journal that cannot be written
-- stops no shift. One line a shift or fence:
--   <unix seconds> shift|fence <backend> <epoch> <server>=<weight> ...
local function write_journal(backend, epoch, weights)
  local words = { tostring(core.now().sec), next(weights) and "shift" or "fence", backend, tostring(epoch) }
  for server, weight in pairs(weights) do
    words[#words + 1] = server .. "=" .. weight
  end
  local file = io.open(JOURNAL_PATH, "a")
  if file then
    file:write(table.concat(words, " ") .. "\n")
    file:close()
  end
end

-- Weights first, zeros last: the backend is never without a server. No request is handled in between.
-- A server that gets a weight must also be able to serve: a hand-set maintenance state would turn the
-- weight into errors. Servers of the state file that are no longer configured are passed over.
local function apply(backend_name, entry)
  local servers = core.backends[backend_name].servers
  for server, weight in pairs(entry.weights) do
    if servers[server] and weight > 0 then
      servers[server]:set_weight(tostring(weight))
      servers[server]:set_ready()
    end
  end
  for server, weight in pairs(entry.weights) do
    if servers[server] and weight == 0 then
      servers[server]:set_weight("0")
    end
  end
  known[backend_name] = entry
end

-- During a reload or after a kill, another process may have accepted a shift after this one read the
-- file, so whatever is newer there is applied here. A file that was removed or put back by hand never
-- lowers the epoch of a running process.
local function catch_up()
  local state = load_state()
  for backend, entry in pairs(state) do
    if core.backends[backend] and (not known[backend] or entry.sequence > known[backend].sequence) then
      apply(backend, entry)
    end
  end
  for backend, entry in pairs(known) do
    if not state[backend] or state[backend].sequence < entry.sequence then
      state[backend] = entry
    end
  end
  return state
end

local function describe(backend_name, epoch)
  local words = {}
  for name, server in pairs(core.backends[backend_name].servers) do
    local status = tostring(server:get_stats().status):gsub("%s", "_")
    words[#words + 1] = name .. "=" .. server:get_weight() .. ":" .. status
  end
  table.sort(words)
  return "ok epoch=" .. epoch .. " " .. table.concat(words, " ")
end

local function accept(state, backend, epoch, weights)
  local last = state[backend] or { sequence = 0, epoch = 0, weights = {} }
  if epoch < last.epoch then
    return "refused epoch=" .. last.epoch
  end
  local entry = { sequence = last.sequence + 1, epoch = epoch, weights = {} }
  for server, weight in pairs(last.weights) do
    entry.weights[server] = weight
  end
  for server, weight in pairs(weights) do
    entry.weights[server] = weight
  end
  state[backend] = entry
  -- Saved first: killed in between, the next process applies what was saved, and the caller, who got
  -- no answer, asks again with the same epoch.
  local saved, reason = save_state(state)
  if not saved then
    return "error cannot save the fence state: " .. tostring(reason)
  end
  apply(backend, entry)
  write_journal(backend, epoch, weights)
  return describe(backend, epoch)
end

local function checked_backend(name)
  if not name then
    return nil, "error no backend given"
  end
  if not core.backends[name] then
    return nil, "error unknown backend " .. name
  end
  return name
end

local function show(backend_name)
  local backend, problem = checked_backend(backend_name)
  if not backend then
    return problem
  end
  local entry = catch_up()[backend]
  return describe(backend, entry and entry.epoch or 0)
end

local function fence(backend_name, epoch_text, weights)
  local backend, problem = checked_backend(backend_name)
  if not backend then
    return problem
  end
  local epoch = parse_int(epoch_text)
  if not epoch then
    return "error epoch " .. tostring(epoch_text) .. " is not a whole number from 0"
  end
  for server in pairs(weights) do
    if not core.backends[backend].servers[server] then
      return "error unknown server " .. server .. " of backend " .. backend
    end
  end
  return accept(catch_up(), backend, epoch, weights)
end

local function shift(backend_name, epoch_text, words)
  local weights, count = parse_weights(words, 1)
  if not weights then
    return "error " .. count
  end
  if count == 0 then
    return "error no <server>=<weight> given"
  end
  return fence(backend_name, epoch_text, weights)
end

local function register(verb, usage, handler)
  core.register_cli({ "opsc", verb }, usage, function(applet, ...)
    -- The arguments start with the words of the command itself.
    local words = { ... }
    local done, answer = pcall(handler, words[3], words[4], table.move(words, 5, #words, 1, {}))
    applet:send((done and answer or "error " .. tostring(answer)):gsub("\n", " ") .. "\n")
  end)
end

if not STATE_PATH or STATE_PATH == "" then
  error("OPSC_FENCE_STATE is not set: name the file of the fence state in haproxy.cfg (setenv)")
end

register("shift", "opsc shift <backend> <epoch> <server>=<weight>... : set weights, refused when the epoch is old", shift)
register("fence", "opsc fence <backend> <epoch> : raise the epoch, keep the weights", function(backend, epoch)
  return fence(backend, epoch, {})
end)
register("show", "opsc show <backend> : epoch, weights and states", show)

core.register_init(catch_up)

-- Also without a command: after a reload the process before may still answer on its old connections.
core.register_task(function()
  while true do
    local done, problem = pcall(catch_up)
    if not done then
      core.Alert("opsc fence: " .. tostring(problem))
    end
    core.msleep(20)
  end
end)
