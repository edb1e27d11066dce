
-- What the end of a call changes, and pauses: `settle.rs`.

-- Lets the rates be used as far as the last 429 allows. The server's clock stands still in a script.
local function throttle(now)
  if not throttled then
    throttled = Throttle.share_at(state, Throttle.recovery_window(meters), now)
    for _, meter in ipairs(meters) do
      if meter.dimension ~= 'money' then
        Meter.throttle(meter, throttled)
      end
    end
  end
  return throttled
end

local function pause(until_time, why, now)
  if until_time <= state.paused then
    return 0
  end
  state.paused, state.why = until_time, why
  tell(until_time, PAUSE, why, now)
  return 1
end

-- Meters of a part that a call took from, unless they have forgotten it.
local function part_of(name, now)
  local rates = limits[Parts.key(name)]
  local part = rates and Parts.find(name, rates, now)
  if part then
    Parts.used[name] = true
  end
  return part
end

local function correct_part(name, id, slot, reserved, used, now)
  local part = part_of(name, now)
  if part then
    Meters.correct(part, id, slot, reserved, used)
  end
end

local function uncount_part(name, id, slot, now)
  local part = part_of(name, now)
  if part then
    Meters.uncount(part, id, slot)
  end
end

local STANDING = '(%a+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+);'

local function hear(id, standings, now)
  if standings == '' then
    return
  end
  local news = false
  if found then
    for dimension, limit, _, reset, window in gmatch(standings, STANDING) do
      news = Discovery.hear(dimension, tonumber(limit), tonumber(reset), tonumber(window), now) or news
    end
  end
  if news then
    State.meter_found(now)
  end
  for dimension, _, remaining, reset, window in gmatch(standings, STANDING) do
    for _, meter in ipairs(meters) do
      if meter.dimension == dimension then
        Meter.heed(meter, tonumber(remaining), tonumber(reset), tonumber(window), id, state.id, now)
      end
    end
  end
end

local function said_429(id, pause_time, now)
  local until_time = Throttle.limited(state, Throttle.recovery_window(meters), id, pause_time, now)
  if not until_time then
    return
  end
  throttled = nil
  pause(until_time, '429', now)
  local used = 0
  for _, meter in ipairs(meters) do
    if meter.dimension ~= 'money' then
      Meter.drain(meter, now)
    end
    if found and meter.dimension == 'requests' then
      Log.forget(meter.log, now)
      used = meter.log.sum
    end
  end
  if found and Discovery.limited(used, until_time) then
    State.meter_found(now)
  end
end

-- `used` nil: unknown.
local function settle(id, used, verdict, pause_time, took, standings, now)
  local slot, reserved, names = Calls.finish(id)
  if not slot then
    return 0
  end
  id = tonumber(id)
  throttle(now)
  if used then
    Meters.correct(meters, id, slot, reserved, used)
    for _, name in ipairs(names) do
      correct_part(name, id, slot, reserved, used, now)
    end
  end
  local open_until = Breaker.record(id, slot, Breaker.VERDICTS[verdict], now)
  if open_until then
    tell(open_until, BROKEN, Breaker.note(now), now)
  end
  Adaptive.record(id, Breaker.VERDICTS[verdict], took)
  hear(id, standings, now)
  if verdict == 'r' then
    said_429(id, pause_time, now)
  end
  return 1
end

-- Ends a call that was not made: nothing of it counts.
local function give_back(id, now)
  local slot, _, names = Calls.under_way(id)
  if slot then
    throttle(now)
    Meters.uncount(meters, tonumber(id), slot)
    for _, name in ipairs(names) do
      uncount_part(name, tonumber(id), slot, now)
    end
  end
  return settle(id, Spend.new(0, 0, 0), 'u', 0, -1, '', now)
end

return {
  throttle = throttle, pause = pause, settle = settle, give_back = give_back,
}
