
-- Who was given a slot and still sleeps for it must hear that the upstream has closed: `tell.rs`.

-- Nobody is to start before a time. `lack`: 4 a pause, which says why, 8 the breaker. The message:
-- `WAIT ID LACK WHY`, ID the call admitted last. Without the right to publish, or with nobody who
-- listens, sleepers sleep on.
local function tell(until_time, lack, why, now)
  -- With the keys' hash tag: `{PREFIX:UPSTREAM}:closings`.
  local closings = match(STATE, '^(.*:)quota$') .. 'closings'
  local words = { text(max(until_time - now, 0)), text(state.id), lack, why }
  redis.pcall('PUBLISH', closings, table.concat(words, ' '))
end

return tell
