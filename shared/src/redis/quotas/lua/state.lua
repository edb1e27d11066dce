
-- What is kept between two scripts.

local NAMES = {
  'since', 'run', 'seen', 'kept', 'limits', 'id', 'slot', 'paused', 'why', 'claim', 'claim_until', 'latest',
  'share', 'share_since', 'heard', 'parts_known', 'parts_begun',
  'breaker', 'breaker.since', 'breaker.run', 'breaker.tally', 'breaker.until', 'breaker.length',
  'breaker.probe', 'breaker.probe_end', 'stated', 'learned', 'adaptive', 'adapted',
}
local TEXTS = {
  run = true, limits = true, why = true, claim = true, latest = true, breaker = true, ['breaker.tally'] = true,
  stated = true, learned = true, adaptive = true, adapted = true, parts_begun = true,
}
local NOTE = 'State of one upstream\'s quota. Fleetline\'s quota script reads and writes it; do not edit it by hand.'

-- The state's single values as they were, in the order of NAMES.
local loaded = {}

-- A restarted server may have read an old copy of the state from its disk: then this differs.
local function this_run()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and match(info, 'run_id:(%x+)') or ''
end

-- Whether everything is there that this script needs: a state of an earlier version may be without.
local function is_whole(values)
  for i, name in ipairs(NAMES) do
    if not values[i] and (name == 'limits' or not TEXTS[name]) then
      return false
    end
  end
  return true
end

-- Whether the state is there, whole, and of this run of the server. A start of the server takes
-- longer than the gap, so busy states need not ask.
local function is_usable(values, clock)
  local seen = tonumber(values[3])
  if not seen or not is_whole(values) or not redis.call('ZSCORE', ENDS, '-') or clock < seen - SECOND then
    return false
  end
  return clock < seen + 50000 or values[2] == this_run()
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
end

local function read(values)
  for i, name in ipairs(NAMES) do
    local value = values[i] or ''
    if not TEXTS[name] then
      value = tonumber(value)
    end
    state[name], loaded[i] = value, value
  end
  limits = Limits.parse(state.limits)
  Discovery.add(state.seen)
  for i, dimension in ipairs(METERED) do
    local rate = limits.u[dimension]
    if rate then
      meters[#meters + 1] = Meter.read(dimension, dimension, rate, values[#NAMES + i])
    end
  end
end

-- Returns the time, and whether the state was empty.
local function open(clock)
  local fields = { unpack(NAMES) }
  for _, dimension in ipairs(METERED) do
    fields[#fields + 1] = dimension
  end
  local values = redis.call('HMGET', STATE, unpack(fields))
  if not is_usable(values, clock) then
    start_empty(clock, tonumber(values[6]) or 0)
    return clock, true
  end
  read(values)
  local now = max(clock, state.seen)
  Calls.forget_over(now)
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
  Discovery.write()
  found = nil
  state.since, state.limits, limits, meters = since, lines, Limits.parse(lines), {}
  Discovery.add(now)
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
  local needed = max(now + 2 * limits.longest, state.paused, state.last_end or 0) + DAY
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
  Discovery.write()
  Adaptive.write()
  Breaker.write()
  for i, name in ipairs(NAMES) do
    if state[name] ~= loaded[i] then
      put(name, state[name])
    end
  end
  for _, meter in ipairs(meters) do
    Meter.write(meter)
  end
  Parts.close()
  in_portions('HDEL', STATE, removed)
  in_portions('HSET', STATE, written)
end

return {
  open = open, meter_found = meter_found, adopt = adopt, keep = keep, close = close,
}
