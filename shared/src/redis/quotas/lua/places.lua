
-- How long calls have their places: for a short time, which their processes renew. In Rust no place must be renewed:
-- there calls and their state are in one process.

-- Before the id of a call without a place, in the set of what is to be forgotten.
local KNOWN = 'c:'

-- For so long nobody was heard, so nobody could renew: that is not held against a place.
local function make_up(silence)
  local ends, ids, later = redis.call('ZRANGEBYSCORE', ENDS, '-inf', '(+inf', 'WITHSCORES'), {}, {}
  for i = 1, #ends, 2 do
    ids[#ids + 1] = ends[i]
  end
  Calls.load(ids)
  for i, id in ipairs(ids) do
    local call = Calls.known(id, 0)
    if call and call.latest then
      later[#later + 1] = text(min(tonumber(ends[2 * i]) + silence, call.latest))
      later[#later + 1] = id
    end
  end
  in_portions('ZADD', ENDS, later)
end

-- Frees the places of calls whose processes died, or stood still. The latter will say that the call goes on, or how it
-- ended, so it is known for as long as it can last.
local function free(ids, now)
  local kept = {}
  Calls.load(ids)
  for _, id in ipairs(ids) do
    local call = Calls.known(id, now)
    if call and call.latest then
      kept[#kept + 1], kept[#kept + 2] = text(call.latest), KNOWN .. id
      Calls.rewrite(id, (string.gsub(call.words, '^[^\n]*', '%0 -', 1)))
    else
      Calls.texts[id] = false
      removed[#removed + 1] = 'call.' .. id
    end
  end
  in_portions('ZREM', ENDS, ids)
  if kept[1] then
    in_portions('ZADD', IDLE, kept)
    redis.call('PEXPIRE', IDLE, text(max(state.kept - now, DAY) / 1000))
  end
  Calls.count = Calls.count - #ids
end

-- Of what is to be forgotten, forgets calls, and returns the rest.
local function forget(names)
  local calls, rest = {}, {}
  for _, name in ipairs(names) do
    local id = match(name, '^' .. KNOWN .. '(%d+)$')
    if id then
      calls[#calls + 1] = name
      removed[#removed + 1] = 'call.' .. id
    else
      rest[#rest + 1] = name
    end
  end
  in_portions('ZREM', IDLE, calls)
  return rest
end

-- These calls go on: they have their places for another while, or again.
local function renew(ids, now)
  local begun = Calls.begun
  for _, id in ipairs(ids) do
    local call = Calls.known(id, now)
    if call and call.latest then
      begun[#begun + 1], begun[#begun + 2] = text(min(max(call.slot, now) + LIFE, call.latest)), id
      if not call.has_place then
        Calls.count = Calls.count + 1
        Calls.rewrite(id, (string.gsub(call.words, '^([^\n]*) %-', '%1', 1)))
      end
    end
  end
  Calls.first_end = nil
  return 1
end

return { make_up = make_up, free = free, forget = forget, renew = renew }
