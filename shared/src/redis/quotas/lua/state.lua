
-- What is kept between two scripts.

-- What every script needs, numbers first, and the meters of METERED.
local NAMES = {
  'since', 'seen', 'kept', 'id', 'slot', 'paused', 'claim_until', 'share', 'share_since', 'limits', 'run', 'latest',
  'breaker', 'adaptive', 'money', 'tokens', 'output', 'input', 'requests',
}
-- So many of them no state is without, and so many are single values.
local NEEDED, SINGLE = 10, 14
-- What is read when the first of it is needed, numbers first.
local SELDOM = {
  'heard', 'parts_known', 'breaker.since', 'breaker.run', 'breaker.until', 'breaker.length', 'breaker.probe',
  'breaker.probe_end', 'breaker.tally', 'why', 'claim', 'stated', 'learned', 'adapted', 'parts_begun',
}
local NUMBERS = 8
local NOTE = 'State of one upstream\'s quota. Fleetline\'s quota script reads and writes it; do not edit it by hand.'

-- The state's single values as they were, by name.
local loaded = {}

-- What this script has set already stays.
local function read_seldom(_, wanted)
  setmetatable(state, nil)
  local values = redis.call('HMGET', STATE, unpack(SELDOM))
  for i, name in ipairs(SELDOM) do
    local value = values[i] or i <= NUMBERS and '0' or ''
    loaded[name] = i <= NUMBERS and value + 0 or value
    if state[name] == nil then
      state[name] = loaded[name]
    end
  end
  -- Builds before this one kept parts under other names: nothing is known of what these used.
  if not values[2] then
    state.parts_known = state.seen
  end
  return state[wanted]
end

-- A restarted server may have read an old copy of the state from its disk: then this differs.
local function this_run()
  local info = redis.pcall('INFO', 'server')
  local _, before = string.find(type(info) == 'string' and info or '', 'run_id:', 1, true)
  return before and match(info, '^%x+', before + 1) or ''
end

-- Whether everything is there that every script needs: a state of an earlier version may be without.
local function is_whole(values)
  for i = 1, NEEDED do
    if not values[i] then
      return false
    end
  end
  return true
end

-- Whether the state is there, whole, and of this run of the server. A start of the server takes
-- longer than the gap, so busy states need not ask.
local function is_usable(values, clock)
  if not is_whole(values) or not Calls.are_there() then
    return false
  end
  local seen = values[2] + 0
  return clock >= seen - SECOND and (clock < seen + 50000 or values[11] == this_run())
end

-- Knows nothing. Ids go on with the clock, so that no call of a lost state is taken for a new one.
local function start_empty(now, last_id)
  redis.call('DEL', STATE, ENDS, IDLE)
  redis.call('ZADD', ENDS, '+inf', '-')
  -- So long a value makes Redis find fields by hashing instead of looking through all of them.
  redis.call('HSET', STATE, 'note', NOTE)
  state = {
    since = -1, run = this_run(), seen = now, kept = 0, limits = '', id = max(now, last_id), slot = now,
    paused = now, why = '', claim = '', claim_until = 0, latest = '', share = Throttle.ALL, share_since = 0, heard = 0,
    parts_known = now, parts_begun = '', breaker = '', stated = '', learned = '', adaptive = '', adapted = '',
  }
  Breaker.close(now)
  limits = Limits.parse('')
  Calls.count = 0
end

local function read(values)
  state = setmetatable({
    since = values[1] + 0, seen = values[2] + 0, kept = values[3] + 0, id = values[4] + 0, slot = values[5] + 0,
    paused = values[6] + 0, claim_until = values[7] + 0, share = values[8] + 0, share_since = values[9] + 0,
    limits = values[10], run = values[11] or '', latest = values[12] or '', breaker = values[13] or '',
    adaptive = values[14] or '',
  }, { __index = read_seldom })
  for i = 1, SINGLE do
    loaded[NAMES[i]] = state[NAMES[i]]
  end
  limits = Limits.parse(state.limits)
  if limits.margin then
    Discovery.add(state.seen)
  end
  for i, dimension in ipairs(METERED) do
    local rate = limits.u[dimension]
    if rate then
      meters[#meters + 1] = Meter.read(dimension, dimension, rate, values[SINGLE + i])
    end
  end
end

-- Returns the time, and whether the state was empty.
local function open(clock)
  local values = redis.call('HMGET', STATE, unpack(NAMES))
  if not is_usable(values, clock) then
    start_empty(clock, tonumber(values[4]) or 0)
    return clock, true
  end
  read(values)
  local now = max(clock, state.seen)
  -- Whoever has calls under way is heard more often than that, if Redis can be reached.
  local silence = now - state.seen - floor(LIFE / 3)
  if silence > 0 then
    Places.make_up(silence)
  end
  local over = redis.call('ZRANGEBYSCORE', ENDS, '-inf', text(now))
  if over[1] then
    Places.free(over, now)
  end
  state.seen = now
  return now, false
end

-- Meters what was found, when that has changed.
local function meter_found(now)
  local older = {}
  for _, meter in ipairs(meters) do
    older[meter.dimension] = meter
  end
  Discovery.add(now)
  meters, throttled = {}, nil
  for _, dimension in ipairs(METERED) do
    local rate, before = limits.u[dimension], older[dimension]
    if rate and before and before.window == rate.window then
      Meter.adjust(before, rate)
      meters[#meters + 1] = before
    elseif rate then
      meters[#meters + 1] = Meter.new(dimension, dimension, rate, before, now, state.id)
    end
  end
end

local function is_same(rate, other)
  return rate and other and rate.amount == other.amount and rate.window == other.window
    and rate.bucket == other.bucket
end

-- Takes the limits over if they are newer; meters of new rates begin at a time. What was used
-- before still counts.
local function adopt(since, lines, now, from)
  if since <= state.since then
    return
  end
  local old, older = limits, {}
  for _, meter in ipairs(meters) do
    older[meter.dimension] = meter
  end
  if found then
    Discovery.write()
  end
  found = nil
  state.since, state.limits, limits, meters = since, lines, Limits.parse(lines), {}
  if limits.margin then
    Discovery.add(now)
  else
    state.learned, state.stated = '', ''
  end
  for _, dimension in ipairs(METERED) do
    local rate, before = limits.u[dimension], older[dimension]
    if is_same(rate, old.u[dimension]) then
      meters[#meters + 1] = before
    elseif rate then
      local meter = Meter.new(dimension, dimension, rate, before, from, state.id)
      if dimension == 'money' and before and before.window == rate.window then
        Meter.keep_known(meter, before, now)
      end
      meters[#meters + 1] = meter
    elseif before then
      Meter.remove(before)
    end
  end
  Breaker.adopt(Limits.option(lines, 'breaker'), now)
  Adaptive.adopt(Limits.option(lines, 'adaptive'))
  if limits.parts ~= old.parts then
    Parts.adopt(old, from)
  end
end

-- Keeps the state for a day after its last use, and as long as anything in it lasts.
local function keep(now)
  local needed = max(now + 2 * limits.longest, state.paused, last_end) + DAY
  for _, meter in ipairs(meters) do
    needed = max(needed, now + DAY + 2 * meter.window)
  end
  if needed > state.kept then
    state.kept = needed + HOUR
    local left = text((state.kept - now) / 1000)
    redis.call('PEXPIRE', STATE, left)
    redis.call('PEXPIRE', ENDS, left)
    redis.call('PEXPIRE', IDLE, left)
  end
end

local function close()
  Calls.write()
  Calls.write_new()
  Spend.write_latest()
  if found then
    Discovery.write()
  end
  if state.adaptive ~= '' then
    Adaptive.write()
  end
  if state.breaker ~= '' then
    Breaker.write()
  end
  for name, value in pairs(state) do
    if value ~= loaded[name] then
      put(name, type(value) == 'number' and text(value) or value)
    end
  end
  for _, meter in ipairs(meters) do
    Meter.write(meter)
  end
  if limits.parts ~= '' then
    Parts.close()
  end
  in_portions('HDEL', STATE, removed)
  in_portions('HSET', STATE, written)
end

return {
  open = open, meter_found = meter_found, adopt = adopt, keep = keep, close = close,
}
