-- admit.lua - may this call run? Places its hold, and books its request and tokens, when it may.
--
-- KEYS: state, key, account, holds, index, held, released, rate of the account, rate of the key, spent of the day on
-- which the call began, spent of that month. ARGV: installation,
-- run_id, account, request id, writer, amount, now (nanos of a writer whose clock has an offset; else empty, and
-- Redis's time counts), currency, tokens (the most that the call can use), what the key opens, as the
-- caller knows it, the day on which the call began (2026-11-22), model, the zone of whose days that is (empty: the
-- platform's).
-- Answers {OK|CREDIT|CONCURRENCY|CURRENCY|RATE|TOO_LARGE|BUDGET, left, open, most, currency, mode}, or one word of the table
-- in billing/admission.c. Where request rates or token rates are limited (a missing one is 0) there follow, of the
-- limit with the fewest left, {limit, left, microseconds until all is left} of requests and of tokens; and on RATE and
-- TOO_LARGE {account|key, requests|tokens, limit, left, microseconds to wait} of the limit that is in the way longest;
-- and on BUDGET {account|key|model, day|month, budget, left}.
-- {ZONE, zone}: the account has another one, and so the call another day; nothing was decided.
-- A call that carries an idempotency key also gives KEYS: claim, live; and ARGV: digest of what is asked, when the claim
-- ends (ms), how often the writer's directory had been taken up; and of each other name that the idempotency key has, under
-- which a call may have claimed it too, a KEY more (its claim) and an ARGV more (what is asked, digested likewise). It is
-- answered {CLAIMED, request id, name} while another call has the key, {ANSWERED, …} once that was answered, {OTHER_BODY, …}
-- when that asked for something else; name being 0 for the first, 1 for the first other one.
-- Every refusal comes before the first write.
local state, key, account, holds = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local index, held, released = KEYS[5], KEYS[6], KEYS[7]
local first_key = sub(KEYS[9], #'tg:{a17}:rate:key:' + 1) -- by which rates and budgets count: the first of its rotations
local id, request, amount, tokens, model = ARGV[3], ARGV[4], ARGV[6], ARGV[9], ARGV[12]

if not is_amount(amount) or not is_amount(tokens) or find(amount .. tokens, '-', 1, true) then
    return {'MALFORMED'}
end
local s = call('HMGET', state, 'installation', 'run_id', 'parked', 'retired ' .. ARGV[5])
if s[1] and s[1] ~= ARGV[1] then
    return {'INSTALLATION'}
elseif s[4] then
    return {'RETIRED'}
elseif s[3] then
    return {'PARKED'}
elseif not s[1] or s[2] ~= ARGV[2] then
    return {'RECOVERING'}
end

local time = call('TIME')
local now = ARGV[7] ~= '' and ARGV[7] or time[1] .. string.format('%06d', time[2]) .. '000'
local k = call('HMGET', key, 'owner_kind', 'owner', 'state', 'expires_at', 'rpm', 'tpm', 'access', 'budget_day',
               'budget_month')
if k[1] ~= 'account' or k[2] ~= id then
    return {'KEY_UNKNOWN'}
elseif k[3] ~= 'active' then
    return {'KEY_REVOKED'}
elseif k[4] ~= '0' and not less(now, k[4]) then
    return {'KEY_EXPIRED'}
elseif (k[7] or '') ~= ARGV[10] then
    return {'KEY_CHANGED'}
end

local a = call('HMGET', account, 'opened', 'room', 'concurrency', 'currency', 'mode', 'rpm', 'tpm',
               'budget_day', 'budget_month', 'budget_day:' .. model, 'budget_month:' .. model, 'zone',
               'balance', 'credit_limit')
if not a[1] then
    return {'ACCOUNT_UNKNOWN'}
elseif (a[12] or '') ~= ARGV[13] then
    return {'ZONE', a[12] or ''}
end
local room, most, open = a[2] or '0', a[3] or '0', call('HLEN', holds)

-- ---- the idempotency key: before all limits, since a repeated call is not run again

-- An open claim whose process is gone, and whose directory was taken up since: all that was left in it, ENDs included, has
-- been applied under this run of Redis, so the call was never begun. Of a writer that was retired (retired.lua) all that
-- was saved has been applied, under whatever run.
local function is_orphan(c)
    if call('HGET', state, 'retired ' .. c.by) == 'over' then
        return true
    end
    local run, turn = match(call('HGET', KEYS[13], c.by) or '', '^(%S+) %d+ (%d+)$')
    return run == ARGV[2] and c.turn ~= '0' and less(c.turn, turn)
end

-- Its claim number `name`, which asks for `body`; nil when it does not bar this call.
local function barred(claim, body, name)
    local c = read_claim(claim)
    if c and c.request ~= request and not has_ended(c, now) and not (c.state == 'open' and is_orphan(c)) then
        return {c.body ~= body and 'OTHER_BODY' or c.state == 'open' and 'CLAIMED' or 'ANSWERED', c.request, name}
    end
end

local bar = KEYS[12] and barred(KEYS[12], ARGV[14], 0)
for i = 14, #KEYS do
    bar = bar or barred(KEYS[i], ARGV[i + 3], i - 13)
end
if bar then
    return bar
end

-- ---- what is limited

local rates = ((a[6] or '0') ~= '0' or (a[7] or '0') ~= '0' or (k[5] or '0') ~= '0' or (k[6] or '0') ~= '0') and
    rates_look(micros(time), tonumber(tokens), {{name = 'account', rate = KEYS[8], rpm = a[6], tpm = a[7]},
                                                {name = 'key', rate = KEYS[9], rpm = k[5], tpm = k[6]}})

local function answer(word, free, calls)
    local list = {word, free, calls, most, a[4], a[5] or ''}
    return rates and rates.tell(list) or list
end

local function refuse_late(scope, what, limit, free, wait)
    local list = answer(wait == math.huge and 'TOO_LARGE' or 'RATE', room, open)
    local n = #list
    list[n + 1], list[n + 2], list[n + 3], list[n + 4] = scope, what, limit, free
    list[n + 5] = wait == math.huge and 0 or wait
    return list
end

if a[4] ~= ARGV[8] then
    return answer('CURRENCY', room, open)
elseif call('HEXISTS', holds, request) == 1 then
    return answer('OK', room, open)
elseif call('HEXISTS', index, request) == 1 or call('EXISTS', released) == 1 then
    return {'OVER'}
end
local late = rates and rates.late()
if late then
    return refuse_late(unpack(late))
elseif most ~= '0' and open >= tonumber(most) then
    return answer('CONCURRENCY', room, open)
end
local over = amount ~= '0' and
    budget_over({a[8], a[9], k[8], k[9], a[10], a[11]}, {KEYS[10], KEYS[11]}, holds,
                {balance = a[13], credit_limit = a[14], room = room}, ARGV[11], first_key, model, amount)
if over then
    local list = answer('BUDGET', room, open)
    for i = 1, 4 do
        list[#list + 1] = over[i]
    end
    return list
elseif amount ~= '0' and (sub(room, 1, 1) == '-' or less(room, amount)) then
    return answer('CREDIT', room, open)
end

-- ---- yes

local entry = amount .. ' ' .. ARGV[5] .. ' ' .. time[1] .. string.format('%03d', math.floor(time[2] / 1000))
if open == 0 then
    call('SADD', held, id)
end
if KEYS[12] then
    write_claim(KEYS[12], {state = 'open', request = request, body = ARGV[14], ends = ARGV[15], by = ARGV[5], turn = ARGV[16]},
                CLAIM_MS)
end
if KEYS[14] then -- they bar nobody, and must not look like another call's when this one's is put again
    call('DEL', unpack(KEYS, 14))
end
call('HSET', holds, request, entry .. (rates and rates.book() or '') .. ' ' .. ARGV[11] .. ' ' .. first_key .. ' ' .. model)
call('HINCRBY', account, 'room', negate(amount))
return answer('OK', call('HGET', account, 'room'), open + 1)
