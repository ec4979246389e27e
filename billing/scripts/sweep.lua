-- sweep.lua - one look at an account's holds: what the look before found unrenewed, and this one too, goes.
--
-- KEYS: state, account, holds, looks, held, swept. ARGV: installation, run_id, account, milliseconds between looks.
-- `looks` keeps entries as the last look found them, with its time and run: a look under another run of Redis
-- begins anew, and so does one before the partition's writers are back, for they could not renew. Answers {OK,
-- request id and entry of each hold removed …}, or one word when there was nothing to look at. What goes is noted in
-- `swept`: should the writer be lost, that names the calls of which no END will come.
local state, account, holds, looks, held, swept = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local run, id = ARGV[2], ARGV[3]
local NOTES_KEPT = '10000'

local s = call('HMGET', state, 'installation', 'run_id', 'parked')
if s[1] ~= ARGV[1] then
    return {'INSTALLATION'}
elseif s[3] then
    return {'PARKED'}
elseif s[2] ~= run then
    call('DEL', looks)
    return {'RECOVERING'}
end
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(time[2] / 1000)
local before, previous = call('HGETALL', looks), {}
for i = 1, #before, 2 do
    previous[before[i]] = before[i + 1]
end
local is_first = previous[' run'] ~= run
if not is_first and now - tonumber(previous[' at']) < tonumber(ARGV[4]) then
    return {'SOON'}
end

local function remove(request, entry)
    local amount = hold_amount(entry)
    if amount and not can_add(call('HGET', account, 'room')) then
        return false
    end
    call('HDEL', holds, request)
    call('XADD', swept, 'MAXLEN', '~', NOTES_KEPT, '*', 'r', request .. ' ' .. id .. ' ' .. entry)
    if amount then
        call('HINCRBY', account, 'room', amount)
    end
    return true
end

local answer, kept, entries = {'OK'}, 0, call('HGETALL', holds)
call('DEL', looks)
for i = 1, #entries, 2 do
    local request, entry = entries[i], entries[i + 1]
    if not is_first and previous[request] == entry and remove(request, entry) then
        answer[#answer + 1] = request
        answer[#answer + 1] = entry
    else
        call('HSET', looks, request, entry)
        kept = kept + 1
    end
end
if kept == 0 then
    call('SREM', held, id)
else
    call('HSET', looks, ' run', run, ' at', string.format('%d', now))
end
return answer
