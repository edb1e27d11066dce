
-- Who was given a slot and still sleeps for it must hear that the upstream has closed: `tell.rs`.

-- The channel of an upstream, with the keys' hash tag: `{PREFIX:UPSTREAM}:closings`.
local CLOSINGS = match(STATE, '^(.*:)quota$') .. 'closings'

-- Nobody is to start before a time. `lack`: 4 a pause, which says why, 8 the breaker. The message:
-- `WAIT ID LACK WHY`, ID the call admitted last. Without the right to publish, or with nobody who
-- listens, sleepers sleep on.
local function tell(until_time, lack, why, now)
  local words = { text(max(until_time - now, 0)), text(state.id), lack, why }
  redis.pcall('PUBLISH', CLOSINGS, table.concat(words, ' '))
end

return tell
