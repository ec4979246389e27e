-- hold.lua - renews or releases holds of one account.
--
-- KEYS: state, account, holds, index, held, rate of the account; then `released` and the rate of the key of each
-- entry. ARGV: installation, partitions, account, writer, renew|release; then request id, amount, and " day key model"
-- of each entry (the day on which the call began). Answers {OK, a word an entry …}, {INSTALLATION} or {PARKED}.
--
-- A release gives the tokens that were booked back to the rates. An entry that is put again has booked none: its
-- booking was lost with it, and so was the rates' state.
-- A renewal puts a lost entry again, unless its call is over: charged (in the index) or released. A release
-- leaves its mark for two minutes by Redis's clock, so that an admit or a renewal which was still under way in
-- an older connection finds it; what slips through even that has no writer who renews it, and the sweeper
-- takes it.
local state, account, holds, index, held, rate = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, writer, verb = ARGV[3], ARGV[4], ARGV[5]
local MARK_SECONDS = 120

local s = call('HMGET', state, 'installation', 'partitions', 'parked')
if (s[1] and s[1] ~= ARGV[1]) or (s[2] and s[2] ~= ARGV[2]) then
    return {'INSTALLATION'}
elseif s[3] then
    return {'PARKED'}
end
local time = call('TIME')
local now = time[1] .. string.format('%03d', math.floor(time[2] / 1000))

-- Sets the entry to `amount` and moves room by what it held before.
local function set(request, old, amount, tail)
    if amount ~= old then
        call('HINCRBY', account, 'room', old)
        call('HINCRBY', account, 'room', negate(amount))
    end
    call('HSET', holds, request, amount .. ' ' .. writer .. ' ' .. now .. tail)
    call('SADD', held, id)
end

local function release(request, entry, old, tail, mark, key_rate)
    if entry then
        local back = unused(tail, rate, key_rate, 0)
        call('HDEL', holds, request)
        call('HINCRBY', account, 'room', old)
        put_back(back)
    end
    call('SET', mark, '1', 'EX', MARK_SECONDS)
    return 'OK'
end

local function change(request, amount, where, mark, key_rate)
    if not is_amount(amount) or sub(amount, 1, 1) == '-' then
        return 'MALFORMED'
    end
    local entry = call('HGET', holds, request)
    local old, tail = '0', ''
    if entry then
        old, tail, where = hold_amount(entry)
    end
    if not old or not can_add(call('HGET', account, 'room')) then
        return 'MALFORMED'
    end
    if verb == 'release' then
        return release(request, entry, old, tail, mark, key_rate)
    end
    if not entry and (call('HEXISTS', index, request) == 1 or call('EXISTS', mark) == 1) then
        return 'OVER'
    end
    set(request, old, less(old, amount) and amount or old, tail .. where)
    return 'OK'
end

local answer = {'OK'}
for i = 0, (#KEYS - 6) / 2 - 1 do
    local a, k = 6 + 3 * i, 7 + 2 * i
    answer[#answer + 1] = change(ARGV[a], ARGV[a + 1], ARGV[a + 2], KEYS[k], KEYS[k + 1])
end
return answer
