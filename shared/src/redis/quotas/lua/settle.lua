
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

local function correct_part(name, ids, slot, reserved, used, now)
  local part = part_of(name, now)
  if part then
    Meters.correct(part, ids, slot, reserved, used)
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

-- Calls of one slot, which reserved the same, used so much.
local function correct(ids, slot, reserved, used, names, now)
  Meters.correct(meters, ids, slot, reserved, used)
  for _, name in ipairs(names) do
    correct_part(name, ids, slot, reserved, used, now)
  end
end

local VERDICTS = { h = 'healthy', f = 'failing' }

-- What the breaker and the search for places learn from the end of a call.
local function record(id, slot, verdict, took, now)
  if state.breaker ~= '' then
    local open_until = Breaker.record(id, slot, verdict, now)
    if open_until then
      tell(open_until, BROKEN, Breaker.note(now), now)
    end
  end
  if state.adaptive ~= '' then
    Adaptive.record(id, verdict, took + 0)
  end
end

-- Calls that began and ended alike; one, if anything was said of the quota, for that changes what the next one changes.
local function end_alike(ids, tooks, slot, reserved, names, how, now)
  throttle(now)
  if how.used then
    correct(ids, slot, reserved, how.used, names, now)
  end
  for i = 1, #ids do
    record(ids[i], slot, VERDICTS[how.verdict], tooks[i], now)
  end
  hear(ids[1], how.standings, now)
  if how.verdict == 'r' then
    said_429(ids[1], how.pause, now)
  end
end

-- Ends calls. HOW: `verdict`, `pause`, `used` (nil: unknown), `standings`. Returns a text: for each 1 or 0.
local function settle(ids, tooks, how, now)
  local most = how.standings == '' and how.verdict ~= 'r' and #ids or 1
  local answers, place = {}, 1
  while place <= #ids do
    local count, slot, reserved, names = Calls.finish(ids, place, most, now)
    if count > 0 then
      local numbers, times = {}, {}
      for i = 1, count do
        numbers[i], times[i] = ids[place + i - 1] + 0, tooks[place + i - 1]
      end
      end_alike(numbers, times, slot, reserved, names, how, now)
    end
    answers[#answers + 1] = count == 0 and '0' or '1' .. string.rep(';1', count - 1)
    place = place + max(count, 1)
  end
  return table.concat(answers, ';')
end

local GIVEN_BACK = { verdict = 'u', standings = '' }

-- Ends a call that was not made: nothing of it counts.
local function give_back(id, now)
  local slot, _, names = Calls.under_way(id, now)
  if slot then
    throttle(now)
    Meters.uncount(meters, tonumber(id), slot)
    for _, name in ipairs(names) do
      uncount_part(name, tonumber(id), slot, now)
    end
  end
  GIVEN_BACK.used = Spend.new(0, 0, 0)
  return settle({ id }, { -1 }, GIVEN_BACK, now)
end

return {
  throttle = throttle, pause = pause, settle = settle, give_back = give_back,
}
