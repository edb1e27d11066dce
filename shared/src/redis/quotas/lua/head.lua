-- Quota of one upstream: gives slots, ends calls, pauses. The same arithmetic as `rules/quota` in
-- Rust, where the reasons stand; a test holds the two together. The parts of this script, and the
-- names of what each returns, are in `call.rs`; what is defined here all of them see.
--
-- KEYS[1]  hash: the state. Fields: single values (NAMES), for each meter NAME its numbers (METER),
--          NAME.N = entries of its log, `call.ID` = a call under way (calls.lua)
-- KEYS[2]  sorted set: ids of the calls that have places, by the time when these end, and a mark `-`
-- KEYS[3]  sorted set: what is to be forgotten, by the time when it can: tenants and models with meters, and calls
--          that have no place any more, and were not heard to have ended (`c:ID`)
-- ARGV[1]  time in microseconds, in tests only; else empty: the server's
-- ARGV[2]  time from which on nobody waits for the answer any more: then nothing is done. 0: none
-- ARGV[3]  version of the limits; the state keeps those with the highest. 0: the state's own
-- ARGV[4]  the limits, a line each: SCOPE DIMENSION AMOUNT WINDOW BUCKET CONFIGURED NAME.
--            SCOPE u (the upstream), t (each tenant), m (the model NAME, else empty);
--            DIMENSION requests, input, output, tokens, money, or places: of those only AMOUNT
--            counts; WINDOW as it is metered, BUCKET: units at once, CONFIGURED: window as it was
--            configured; times in microseconds. Before them, if there are such, lines
--            `breaker TERMS` (breaker.lua), `discover MARGIN BURST`: limits are to be found, and
--            metered with these in ten-thousandths (discovery.lua), `adaptive MIN MAX` (adaptive.lua)
-- ARGV[5]  longest time for which anybody may have been given a slot ahead, microseconds
-- ARGV[6]  for so long a call has its place unless that is renewed, microseconds
-- ARGV[7…] any number of these, done in their order:
--            ask COUNT WISH TENANT MODEL    (COUNT alike; MODEL empty: none)
--              WISH: `INPUT OUTPUT MONEY HOLD LEAD TTL`
--            settle HOW STANDINGS ENDS      (calls that ended alike)
--              HOW: `VERDICT PAUSE`, and ` INPUT OUTPUT MONEY` if it is known what each used. VERDICT: h healthy,
--              f failing, r rate limited, u unknown. PAUSE: for how long a 429 pauses. STANDINGS: any number of
--              `DIMENSION LIMIT REMAINING RESET WINDOW;`. ENDS: `ID TOOK;` of each call. In both -1: unknown
--            give-back ID                   (the call was not made)
--            renew IDS                      (the processes of these calls live; `ID;` of each)
--            pause WAIT WHY
--            resume AHEAD MONEY             (calls were made that it was not told of; they spent
--              MONEY; nobody starts for AHEAD)
--            doubt AHEAD PART               (the same of `t:TENANT` or `m:MODEL`)
--            begun WISH TENANT MODEL        (a call under way, admitted elsewhere; HOLD and LEAD do not matter)
--            report
--
-- Returns {now} if it is too late, else {now, 1 if the state was empty or 0, texts, tables}: `texts` has
-- the answer to each of the above, with `;` between, empty if it is the next of the tables. For a client
-- takes longer to read many values than to read one:
--   ask     `AT ID PROBE`              go at this time; PROBE: 1 if it is the breaker's, or 0
--           `AT ID 0 MORE`             the same for so many more of those alike, with the next IDs
--           {2, at, lack, why, part}   the next slot is then: nothing set aside. lack: 1 requests,
--                                      2 tokens, 3 concurrency, 4 pause, which says why, 5 input
--                                      tokens, 6 output tokens, 7 money, 8 breaker, which says why.
--                                      part: 1 by the tenant's limit, 2 by the model's, else 0
--           {3, until}                 no place is free before, unless a call is settled
--           {4, lack, limit}           larger than a whole limit
--   settle, give-back  1, or 0 if the call is unknown or its time is over; for each that ended
--   pause   1, or 0 if a pause that ends no earlier is on
--   resume, doubt, renew  1
--   begun   as ask: `AT ID 0`, or {4}
--   report  {calls under way, paused until, why, next start, {INPUT, OUTPUT, MONEY of that
--           call}, share of the rates in use in thousandths, {lack of a dimension, used, by others, limit, and so on}, how the breaker
--           stands (breaker.lua), `DIMENSION AMOUNT WINDOW;` of limits that were found, calls
--           that may be under way or -1, ARGV[4] in force}
--
-- Numbers are doubles here: exact below 2^53. `..` and tostring() keep 14 digits only, so times
-- and ids become text by text(). Adding 0 makes a number of a text in half of what tonumber() takes.

local floor, max, min = math.floor, math.max, math.min
local format, match, gmatch = string.format, string.match, string.gmatch
local STATE, ENDS, IDLE = KEYS[1], KEYS[2], KEYS[3]
local LIFE = tonumber(ARGV[6])
-- The state's single values (NAMES), the upstream's meters in the order of METERED, the limits in
-- force.
local state, meters, limits = {}, {}, nil
-- The share of the rates as this script has set it (nil if it must be set anew), and limits that were found
-- if they are to be (discovery.lua).
local throttled, found
-- The latest end of the calls that began in this script.
local last_end = 0
local SECOND, MINUTE, HOUR, DAY = 1000000, 60000000, 3600000000, 86400000000
local MOST_UNITS = 2 ^ 40
-- Entries of a log in one window, at most.
local GRAINS = 1000
-- What is metered, and what can lack.
local METERED = { 'money', 'tokens', 'output', 'input', 'requests' }
local LACKS = { requests = 1, tokens = 2, input = 5, output = 6, money = 7 }
local CONCURRENCY, PAUSE, BROKEN = 3, 4, 8
-- What the breaker says to a call that it does not let go freely.
local PROBE, NOT_BEFORE = 2, 3

local function text(number)
  return format('%d', number)
end

-- a * b / c, rounded up, exact for a < 2^48 and c <= 2^40.
local function share_up(a, b, c)
  if a * b < 2 ^ 53 then
    local rest = a * b % c
    return (a * b - rest) / c + (rest > 0 and 1 or 0)
  end
  local part = b % c
  local whole = (b - part) / c
  local quotient, rest = 0, 0
  if a * part < 2 ^ 53 then
    rest = a * part % c
    quotient = (a * part - rest) / c
  else
    for shift = 36, 0, -12 do
      local sum = rest * 4096 + floor(a / 2 ^ shift) % 4096 * part
      rest = sum % c
      quotient = quotient * 4096 + (sum - rest) / c
    end
  end
  return a * whole + quotient + (rest > 0 and 1 or 0)
end

-- A module that begins when something of it is used first: most scripts need few.
local function lazily(begin)
  local module = {}
  function module.__index(_, name)
    module.__index = begin()
    return module.__index[name]
  end
  return setmetatable({}, module)
end

-- Fields to write and to remove at the end.
local written, removed = {}, {}

local function put(field, value)
  written[#written + 1] = field
  written[#written + 1] = value
end

-- A command with any number of arguments, in portions that fit Lua's stack.
local function in_portions(command, key, arguments)
  for from = 1, #arguments, 2000 do
    redis.call(command, key, unpack(arguments, from, min(from + 1999, #arguments)))
  end
end
