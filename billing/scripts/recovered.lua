-- recovered.lua - a writer says up to which record this partition must have it: `coming` before it replays and puts its
-- holds, and once these are there `back`, which asks whether the partition may admit under this run of Redis.
--
-- KEYS: state, live, cursors. ARGV: installation, partitions, writer, run_id, n, turn (how often the writer's directory has
-- been taken up; what was left in it by those before is among the n records), old or new (has it, or
-- the archive, anything on record?), coming|back, token (what it comes under: another each time that it begins anew), again or first (did this
-- process admit calls before?). Answers {OK}, {WAIT} (always to `coming`), {BEHIND, cursor} (the writer has to replay),
-- {AGAIN} (it must come anew: what it put was lost since it came), {INSTALLATION}, {RETIRED} or {PARKED, why}.
--
-- A partition admits when all its live writers are back, or 10 s after the first of them asked. Live are
-- those who have asked since, and those whose last word under the run before was at most 30 s older
-- than the last of all: however long Redis was away, they were at work when it went. A writer that comes behind, or one
-- that admitted calls before and is not known here (it had joined within what Redis lost), closes the partition again,
-- once, until it is back or those 10 s have passed. A partition that knows nothing, though there was something to know,
-- can't tell who is live: it waits those 10 s. By `installation` it knows that a writer has come; holds and records that
-- are put before that leave it out. One that is being rebuilt admits when that is over, however long it takes. Of a
-- parked one only that the writer lives is noted: what was left in its directory may not be applied here, so its turn
-- stays what it was.
local state, live, cursors = KEYS[1], KEYS[2], KEYS[3]
local writer, run, is_coming, token = ARGV[3], ARGV[4], ARGV[8] == 'coming', ARGV[9]
local WAIT_MS, LIVE_MS, FORGET_MS = 10000, 30000, 86400000

local s = call('HMGET', state, 'installation', 'partitions', 'parked', 'run_id', 'pending_run',
               'pending_since', 'pending_last', 'rebuilding', 'pending_blank', 'retired ' .. writer)
if (s[1] and s[1] ~= ARGV[1]) or (s[2] and s[2] ~= ARGV[2]) then
    return {'INSTALLATION'}
elseif s[10] then
    return {'RETIRED'}
end
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(time[2] / 1000)
local heard = call('HGET', live, writer) or ''
if s[3] then
    call('HSET', live, writer, string.format('- %d %s', now, match(heard, '(%d+)$') or '0'))
    return {'PARKED', s[3]}
end
local cursor = match(call('HGET', cursors, writer) or '0', '^%d+') or '0'
local is_behind = tonumber(cursor) < tonumber(ARGV[5])
local said = match(heard, '^%S+') or ''
if not is_coming and said ~= run and said ~= '-' .. token then
    return {'AGAIN'}
end

-- Every word: {writer, run, ms}.
local function words()
    local all, list = call('HGETALL', live), {}
    for i = 1, #all, 2 do
        local its_run, ms = match(all[i + 1], '^(%S+) (%d+)')
        list[#list + 1] = {writer = all[i], run = its_run or '-', ms = tonumber(ms or '0')}
    end
    return list
end

local function say()
    local word = (is_coming or is_behind) and '-' .. token or run
    call('HSET', live, writer, string.format('%s %d %s', word, now, ARGV[6]))
end

local function answer(admits)
    return is_behind and {'BEHIND', cursor} or {admits and not is_coming and 'OK' or 'WAIT'}
end

local is_unknown = ARGV[10] == 'again' and said ~= run
if s[4] == run and not ((is_behind or is_unknown) and sub(said, 1, 1) ~= '-') then
    say()
    return answer(true)
end

local since, last, is_blank = tonumber(s[6] or ''), tonumber(s[7] or ''), s[9]
if s[5] ~= run then
    since, last = now, 0
    for _, word in ipairs(words()) do
        last = math.max(last, word.ms)
    end
    call('HSET', state, 'installation', ARGV[1], 'partitions', ARGV[2], 'pending_run', run,
         'pending_since', string.format('%d', since), 'pending_last', string.format('%d', last))
    call('HDEL', state, 'run_id')
    is_blank = is_blank or not s[1] and ARGV[7] == 'old'
    if is_blank and not s[9] then
        call('HSET', state, 'pending_blank', '1')
    end
end
say()

local function all_are_back()
    local back = true
    for _, word in ipairs(words()) do
        if word.run ~= run and word.ms > last - LIVE_MS then
            back = false
        end
        if word.ms < now - FORGET_MS then
            call('HDEL', live, word.writer)
        end
    end
    return back
end

if not s[8] and (all_are_back() and not is_blank or now - since >= WAIT_MS) then
    call('HSET', state, 'run_id', run)
    call('HDEL', state, 'pending_run', 'pending_since', 'pending_last', 'pending_blank')
    return answer(true)
end
return answer(false)
