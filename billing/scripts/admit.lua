-- admit.lua - may this call run? Places its hold when it may.
--
-- KEYS: state, key, account, holds, index, held, released. ARGV: installation, run_id, account, request id,
-- writer, amount, now (nanos of a writer whose clock has an offset; else empty, and Redis's time counts), currency.
-- Answers {OK|CREDIT|CONCURRENCY|CURRENCY, left, open, most, currency}, or one word of the table in
-- billing/admission.c. Every refusal comes before the first write.
local state, key, account, holds = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local index, held, released = KEYS[5], KEYS[6], KEYS[7]
local id, request, amount = ARGV[3], ARGV[4], ARGV[6]

if not is_amount(amount) or sub(amount, 1, 1) == '-' then
    return {'MALFORMED'}
end
local s = call('HMGET', state, 'installation', 'run_id', 'parked')
if s[1] and s[1] ~= ARGV[1] then
    return {'INSTALLATION'}
elseif s[3] then
    return {'PARKED'}
elseif not s[1] or s[2] ~= ARGV[2] then
    return {'RECOVERING'}
end

local time = call('TIME')
local now = ARGV[7] ~= '' and ARGV[7] or time[1] .. string.format('%06d', time[2]) .. '000'
local k = call('HMGET', key, 'owner_kind', 'owner', 'state', 'expires_at')
if k[1] ~= 'account' or k[2] ~= id then
    return {'KEY_UNKNOWN'}
elseif k[3] ~= 'active' then
    return {'KEY_REVOKED'}
elseif k[4] ~= '0' and not less(now, k[4]) then
    return {'KEY_EXPIRED'}
end

local a = call('HMGET', account, 'opened', 'room', 'concurrency', 'currency')
if not a[1] then
    return {'ACCOUNT_UNKNOWN'}
end
local room, most, currency, open = a[2] or '0', a[3] or '0', a[4], call('HLEN', holds)
if currency ~= ARGV[8] then
    return {'CURRENCY', room, open, most, currency}
elseif call('HEXISTS', holds, request) == 1 then
    return {'OK', room, open, most, currency}
elseif call('HEXISTS', index, request) == 1 or call('EXISTS', released) == 1 then
    return {'OVER'}
elseif most ~= '0' and open >= tonumber(most) then
    return {'CONCURRENCY', room, open, most, currency}
elseif amount ~= '0' and (sub(room, 1, 1) == '-' or less(room, amount)) then
    return {'CREDIT', room, open, most, currency}
end

if open == 0 then
    call('SADD', held, id)
end
call('HSET', holds, request,
     amount .. ' ' .. ARGV[5] .. ' ' .. time[1] .. string.format('%03d', math.floor(time[2] / 1000)))
call('HINCRBY', account, 'room', negate(amount))
return {'OK', call('HGET', account, 'room'), open + 1, most, currency}
