
-- What is kept between two scripts.

local NAMES = {
  'since', 'run', 'seen', 'kept', 'requests', 'tokens', 'concurrency',
  'id', 'slot', 'paused', 'why', 'claim', 'claim_until',
}
local TEXTS = { run = true, requests = true, tokens = true, concurrency = true, why = true }
local NOTE = 'State of one upstream\'s quota. Fleetline\'s quota script reads and writes it; do not edit it by hand.'
local MICROS = 1000000
local HOUR, DAY = 3600 * MICROS, 86400 * MICROS

local state, meters, loaded = {}, {}, {}

-- A restarted server may have read an old copy of the state from its disk: then this differs.
local function this_run()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
end

-- Whether the state is there, whole, and of this run of the server. A start of the server takes
-- longer than the gap, so busy states need not ask.
local function is_usable(values, clock)
  local seen = tonumber(values[3])
  if not seen or not redis.call('ZSCORE', ENDS, '-') or clock < seen - MICROS then
    return false
  end
  return clock < seen + 50000 or values[2] == this_run()
end

-- Knows nothing. Ids go on with the clock, so that no call of a lost state is taken for a new one.
local function start_empty(now, last_id)
  redis.call('DEL', STATE, ENDS)
  redis.call('ZADD', ENDS, '+inf', '-')
  -- So long a value makes Redis find fields by hashing instead of looking through all of them.
  redis.call('HSET', STATE, 'note', NOTE)
  state = {
    since = -1, run = this_run(), seen = now, kept = 0, requests = '', tokens = '', concurrency = '',
    id = math.max(now, last_id), slot = now, paused = now, why = '', claim = 0, claim_until = 0,
  }
end

local function read(values)
  for i, name in ipairs(NAMES) do
    local value = TEXTS[name] and values[i] or tonumber(values[i])
    state[name], loaded[name] = value, value
  end
  for d, name in ipairs({ 'requests', 'tokens' }) do
    if state[name] ~= '' then
      local from = #NAMES + (d - 1) * #METER
      local own = {}
      for i = 1, #METER do
        own[i] = values[from + i]
      end
      meters[name] = read_meter(name, state[name], own)
    end
  end
end

-- Returns the time, and whether the state was empty.
local function open_state(clock)
  local fields = { unpack(NAMES) }
  for _, name in ipairs({ 'requests', 'tokens' }) do
    for i = 1, #METER do
      fields[#fields + 1] = name .. '.' .. METER[i]
    end
  end
  local values = redis.call('HMGET', STATE, unpack(fields))
  if not is_usable(values, clock) then
    start_empty(clock, tonumber(values[8]) or 0)
    return clock, true
  end
  read(values)
  local now = math.max(clock, state.seen)
  count_calls(now)
  state.seen = now
  return now, false
end

-- Takes the limits over if they are newer; meters of new rates begin at a time. What was used
-- before still counts.
local function adopt(since, requests, tokens, concurrency, from)
  if since <= state.since then
    return
  end
  state.since, state.concurrency = since, concurrency
  for name, rate in pairs({ requests = requests, tokens = tokens }) do
    if rate ~= state[name] then
      if rate == '' then
        remove_meter(name, meters[name])
        meters[name] = nil
      else
        meters[name] = new_meter(name, rate, meters[name], from)
      end
      state[name] = rate
    end
  end
end

-- Keeps the state for a day after its last use, and as long as anything in it lasts.
local function keep(now)
  local needed = math.max(now, state.paused, state.last_end or 0) + DAY
  for _, meter in pairs(meters) do
    needed = math.max(needed, now + DAY + 2 * meter.window)
  end
  if needed > state.kept then
    state.kept = needed + HOUR
    local left = text((state.kept - now) / 1000)
    redis.call('PEXPIRE', STATE, left)
    redis.call('PEXPIRE', ENDS, left)
  end
end

local function close_state()
  write_calls()
  for _, name in ipairs(NAMES) do
    if state[name] ~= loaded[name] then
      write(name, state[name])
    end
  end
  for name, meter in pairs(meters) do
    write_meter(name, meter)
  end
  in_portions('HDEL', STATE, removed)
  in_portions('HSET', STATE, written)
end
