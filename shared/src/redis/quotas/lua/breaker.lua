
-- The breaker: `rules/breaker`. In the state, `breaker` is its terms in a text, empty if there is
-- none.

local FREE = 1
local PROBE_PATIENCE = 1000000
local BREAKER_GRAINS = 10
local terms
-- What the state's `breaker.tally` says, once it is needed: `NUMBER CALLS FAILURES` of each grain.
local tally

-- The terms in force; nil if there is no breaker.
local function terms_in_force()
  if not terms and state.breaker and state.breaker ~= '' then
    local failures, percent, of_at_least, grain, open_for, open_at_most, jitter =
      match(state.breaker, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
    terms = {
      failures = failures + 0, percent = percent + 0, of_at_least = of_at_least + 0, grain = grain + 0,
      open_for = open_for + 0, open_at_most = open_at_most + 0, jitter = jitter + 0,
    }
  end
  return terms
end

-- `until` is 0 in a closed breaker.
local function close(now)
  state['breaker.since'], state['breaker.run'], state['breaker.tally'], tally = now, 0, '', nil
  state['breaker.until'], state['breaker.length'] = 0, 0
  state['breaker.probe'], state['breaker.probe_end'] = 0, 0
end

local function open(length, now)
  local thousandths = now % 2147483647 * 48271 % 2147483647 % 1001
  local longer = floor(floor(length / 1000) * terms.jitter * thousandths / 100)
  state['breaker.run'], state['breaker.tally'], tally = 0, '', nil
  state['breaker.until'], state['breaker.length'] = now + length + longer, length
  state['breaker.probe'], state['breaker.probe_end'] = 0, 0
  return state['breaker.until']
end

-- Takes new terms over. An open breaker stays open until its time is over.
local function adopt(text, now)
  if text == (state.breaker or '') then
    return
  end
  local was_open = state.breaker and state.breaker ~= '' and state['breaker.until'] > 0
  state.breaker, terms = text, nil
  if text == '' or not was_open then
    close(now)
  end
end

-- FREE, PROBE, or NOT_BEFORE and the time. Changes nothing.
local function admit(now)
  if not terms_in_force() or state['breaker.until'] == 0 then
    return FREE
  end
  if now < state['breaker.until'] then
    return NOT_BEFORE, state['breaker.until']
  end
  if now < state['breaker.probe_end'] then
    return NOT_BEFORE, min(state['breaker.probe_end'], now + PROBE_PATIENCE)
  end
  return PROBE
end

local function probe(id, at, ttl)
  if state['breaker.probe'] == 0 then
    state['breaker.probe'] = id
  end
  state['breaker.probe_end'] = at + min(ttl, state['breaker.length'])
end

-- The last is that of now: within a script the time stands still.
local function read_tally(newest)
  local read, last = { calls = 0, failures = 0 }, nil
  for n, c, f in gmatch(state['breaker.tally'], '(%d+) (%d+) (%d+);') do
    n, c, f = n + 0, c + 0, f + 0
    if n + BREAKER_GRAINS > newest then
      last = { n, c, f }
      read[#read + 1] = last
      read.calls, read.failures = read.calls + c, read.failures + f
    end
  end
  if not last or last[1] < newest then
    read[#read + 1] = { newest, 0, 0 }
  end
  return read
end

-- Whether the share of failures opens the breaker, with one more call that ended.
local function count(failed, now)
  if terms.percent == 0 then
    return false
  end
  tally = tally or read_tally(floor(now / terms.grain))
  local newest = tally[#tally]
  newest[2], tally.calls = newest[2] + 1, tally.calls + 1
  if failed then
    newest[3], tally.failures = newest[3] + 1, tally.failures + 1
  end
  return tally.calls >= terms.of_at_least and 100 * tally.failures >= terms.percent * tally.calls
end

local function write()
  local texts = {}
  for i, grain in ipairs(tally or {}) do
    texts[i] = format('%d %d %d;', grain[1], grain[2], grain[3])
  end
  if tally then
    state['breaker.tally'] = table.concat(texts)
  end
end

-- A call that was to start at a time has ended, with 'healthy', 'failing', or anything else. Returns
-- until when the breaker is open if this has opened it.
local function record(id, started, verdict, now)
  if not terms_in_force() then
    return
  end
  local failed, ended = verdict == 'failing', verdict == 'failing' or verdict == 'healthy'
  if state['breaker.until'] > 0 then
    if state['breaker.probe'] == 0 or id < state['breaker.probe'] then
      return
    elseif failed then
      local longer = min(terms.open_at_most, 2 * state['breaker.length'])
      return open(max(terms.open_for, longer), now)
    elseif ended then
      close(now)
    else
      state['breaker.probe_end'] = now
    end
  elseif ended and started >= state['breaker.since'] then
    state['breaker.run'] = failed and state['breaker.run'] + 1 or 0
    local over = count(failed, now)
    if failed and (over or state['breaker.run'] >= terms.failures) then
      return open(terms.open_for, now)
    end
  end
end

-- {0}: none. {1, failures in a row}: closed. {2, until}: open. {3, 1 or 0}: half-open, probing.
local function report(now)
  if not terms_in_force() then
    return { 0 }
  end
  if state['breaker.until'] == 0 then
    return { 1, state['breaker.run'] }
  elseif now < state['breaker.until'] then
    return { 2, state['breaker.until'] }
  end
  return { 3, now < state['breaker.probe_end'] and 1 or 0 }
end

-- Why the breaker refuses.
local function note(now)
  return now < state['breaker.until'] and 'open' or 'one call tries whether the upstream is well again'
end

return {
  close = close, adopt = adopt, admit = admit, probe = probe, write = write, record = record,
  report = report, note = note,
}
