
-- What a 429 does: `throttle.rs`. The state's `share` of the rates since `share_since`; the calls
-- up to `heard` were admitted before the pause that a 429 called last.

local ALL, SHRUNK, LEAST, GAIN = 1000, 7, 50, 100

local function share_at(state, window, now)
  local passed = min(max(now - state.share_since, 0), window * ALL / GAIN)
  return min(state.share + floor(passed * GAIN / window), ALL)
end

-- Until when the upstream is paused; nil if that was answered before.
local function limited(state, window, id, pause, now)
  if id <= state.heard then
    return nil
  end
  local until_time = now + pause
  state.share = max(floor(share_at(state, window, now) * SHRUNK / 10), LEAST)
  state.share_since, state.heard = until_time, state.id
  return until_time
end

-- The window of recovery: the shortest metered one, of money none, from a second to a minute.
local function recovery_window(meters)
  local window
  for _, meter in ipairs(meters) do
    if meter.dimension ~= 'money' then
      window = min(window or meter.window, meter.window)
    end
  end
  return min(max(window or 60000000, 1000000), 60000000)
end

return {
  ALL = ALL, share_at = share_at, limited = limited, recovery_window = recovery_window,
}
