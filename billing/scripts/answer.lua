-- answer.lua - what becomes of a call's claim of its idempotency key while it runs and when its END is durable.
--
-- KEYS: state, claim, answer, index, released. ARGV: installation, partitions, open|answered|failed, request id, digest
-- of the body, ends_ms, milliseconds left until then, writer, turn, the stored answer (or empty). Answers {OK}, {TAKEN,
-- request id} when another call has the key by now, {OVER}, {INSTALLATION} or {PARKED}.
--
-- `open` puts a claim again that Redis has lost, unless its call is over: charged (in the index) or released.
-- `answered` and `failed` do what the END will do when it is applied, before the answer's last bytes leave: so whoever has
-- seen the end of an answer, or of a failure, can ask again at once. Only `answered` can bring an answer to be stored.
local state, key, answer, index, released = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local verb, ttl_ms = ARGV[3], ARGV[7]
local mine = {state = verb, request = ARGV[4], body = ARGV[5], ends = ARGV[6], by = ARGV[8], turn = ARGV[9]}

local s = call('HMGET', state, 'installation', 'partitions', 'parked')
if (s[1] and s[1] ~= ARGV[1]) or (s[2] and s[2] ~= ARGV[2]) then
    return {'INSTALLATION'}
elseif s[3] then
    return {'PARKED'}
end
local old = read_claim(key)
local is_anothers = old and old.request ~= mine.request
local begun = string.format('%d', tonumber(mine.ends) - CLAIM_MS) .. '000000'
if verb ~= 'open' then
    end_claim(key, old, mine, ttl_ms)
    if verb == 'answered' and ARGV[10] ~= '' and less('0', ttl_ms) then
        call('SET', answer, ARGV[10], 'PX', ttl_ms)
    end
elseif is_anothers and not has_ended(old, begun) then
    return {'TAKEN', old.request}
elseif not old or is_anothers then
    if call('HEXISTS', index, mine.request) == 1 or call('EXISTS', released) == 1 then
        return {'OVER'}
    end
    if less('0', ttl_ms) then
        write_claim(key, mine, ttl_ms)
    end
end
return {'OK'}
