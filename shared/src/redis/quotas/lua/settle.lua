
-- What the end of a call changes, and pauses: `settle.rs`.

-- Lets the rates be used as far as the last 429 allows. The server's clock stands still in a script.
local function throttle(now)
  local share = share_at(state, recovery_window(meters), now)
  for _, meter in ipairs(meters) do
    if meter.dimension ~= 'money' then
      meter_throttle(meter, share)
    end
  end
  return share
end

local function pause(until_time, why)
  if until_time <= state.paused then
    return 0
  end
  state.paused, state.why = until_time, why
  return 1
end

local function correct_part(name, slot, reserved, used, now)
  local since, key = string.match(name, '^(%d+)(.*)$')
  local rates = tonumber(since) == state.parts_since and limits[string.sub(key, 1, 2) == 't:' and 't' or key]
  local part = rates and read_part(name, rates)
  if part and now <= idle_at(part) then
    correct(part, slot, reserved, used)
    parts.used[name] = true
  end
end

local STANDING = '(%a+) (%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+);'

local function hear(id, standings, now)
  local news = false
  if found then
    for dimension, limit, _, reset, window in string.gmatch(standings, STANDING) do
      news = discovery_hear(dimension, tonumber(limit), tonumber(reset), tonumber(window), now) or news
    end
  end
  if news then
    meter_found(now)
  end
  for dimension, _, remaining, reset, window in string.gmatch(standings, STANDING) do
    for _, meter in ipairs(meters) do
      if meter.dimension == dimension then
        meter_heed(meter, tonumber(remaining), tonumber(reset), tonumber(window), id, state.id, now)
      end
    end
  end
end

local function said_429(id, pause_time, now)
  local until_time = limited(state, recovery_window(meters), id, pause_time, now)
  if not until_time then
    return
  end
  pause(until_time, '429')
  local used = 0
  for _, meter in ipairs(found and meters or {}) do
    if meter.dimension == 'requests' then
      log_forget(meter.log, now)
      used = meter.log.sum
    end
  end
  if found and discovery_limited(used, until_time) then
    meter_found(now)
  end
end

local function settle(id, used, verdict, pause_time, took, standings, now)
  local slot, reserved, names = end_call(id)
  if not slot then
    return 0
  end
  throttle(now)
  local input, output, money = string.match(used, '^(%d+) (%d+) (%d+)$')
  if input then
    local spend = new_spend(tonumber(input), tonumber(output), tonumber(money))
    correct(meters, slot, reserved, spend)
    for _, name in ipairs(names) do
      correct_part(name, slot, reserved, spend, now)
    end
  end
  id = tonumber(id)
  breaker_record(id, slot, VERDICTS[verdict], now)
  adaptive_record(id, VERDICTS[verdict], took)
  hear(id, standings, now)
  if verdict == 'r' then
    said_429(id, pause_time, now)
  end
  return 1
end
