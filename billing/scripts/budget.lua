-- budget.lua - what an account and a key may spend in a day and a month, put before admit.lua.
--
-- Spent (spent.lua) is what ENDs have booked; held is what the account's open calls may cost at most, each on the day on
-- which it began. A call fits when spent + held + its own hold is at most the budget, so calls that run at the same time
-- cannot pass it together. What is held is added up from the entries themselves, only where there is a budget.
--
-- `limits` has {account's day, account's month, key's day, key's month}, as text, nil or '0' for none; `spent` the keys of
-- that day's sums and that month's. Answers nil when
-- the call fits, else {account|key, day|month, budget, what is left of it}: of a month before that of a day, since it
-- stands in the way longer.
local function budget_over(limits, spent, holds, day, key, amount)
    local month, held, is_limited, sums = sub(day, 1, 7), {'0', '0', '0', '0'}, {}, {}
    for i = 1, 4 do
        is_limited[2 - i % 2] = is_limited[2 - i % 2] or (limits[i] or '0') ~= '0'
    end
    if not (is_limited[1] or is_limited[2]) then
        return nil
    end
    for _, entry in ipairs(call('HVALS', holds)) do
        local its, its_day, its_key = match(entry, '^(%d+) .* (%d%d%d%d%-%d%d%-%d%d) (%S+)$')
        local is_there = {its_day == day, its_day and sub(its_day, 1, 7) == month}
        for i = 1, 4 do
            if is_there[2 - i % 2] and (i < 3 or its_key == key) then
                held[i] = plus(held[i], its)
            end
        end
    end
    for w = 1, 2 do
        sums[w] = is_limited[w] and call('HMGET', spent[w], 'account', 'key:' .. key)
    end
    for _, i in ipairs({2, 4, 1, 3}) do
        local limit = limits[i] or '0'
        if limit ~= '0' then
            local used = plus(sums[2 - i % 2][i < 3 and 1 or 2] or '0', held[i])
            if less(limit, plus(used, amount)) then
                return {i < 3 and 'account' or 'key', i % 2 == 1 and 'day' or 'month', limit,
                        less(limit, used) and '0' or minus(limit, used)}
            end
        end
    end
end
