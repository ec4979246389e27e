-- budget.lua - what an account and a key may spend in a day and a month, put before admit.lua.
--
-- Spent (spent.lua) is what ENDs have booked; held is what the account's open calls may cost at most, each on the day on
-- which it began. A call fits when spent + held + its own hold is at most the budget, so calls that run at the same time
-- cannot pass it together. What is held is added up from the entries themselves, only where there is a budget.
--
-- `limits` has {account's day, account's month, key's day, key's month}, as text, nil or '0' for none. Answers nil when
-- the call fits, else {account|key, day|month, budget, what is left of it}: of a month before that of a day, since it
-- stands in the way longer.
local function budget_over(limits, spent, holds, day, key, amount)
    local month, names, held = sub(day, 1, 7), {}, {'0', '0', '0', '0'}
    local is_limited = false
    for i = 1, 4 do
        is_limited = is_limited or (limits[i] or '0') ~= '0'
        names[i] = (i % 2 == 1 and day or month) .. (i < 3 and ' account' or ' key:' .. key)
    end
    if not is_limited then
        return nil
    end
    for _, entry in ipairs(call('HVALS', holds)) do
        local its, _, where = hold_amount(entry)
        local its_day, its_key = match(where or '', '^ (%S+) (%S+)$')
        local is_there = {its_day == day, its_day and sub(its_day, 1, 7) == month}
        for i = 1, 4 do
            if is_there[2 - i % 2] and (i < 3 or its_key == key) then
                held[i] = plus(held[i], its)
            end
        end
    end
    local sums = call('HMGET', spent, unpack(names))
    for _, i in ipairs({2, 4, 1, 3}) do
        local limit, used = limits[i] or '0', plus(sums[i] or '0', held[i])
        if limit ~= '0' and less(limit, plus(used, amount)) then
            return {i < 3 and 'account' or 'key', i % 2 == 1 and 'day' or 'month', limit,
                    less(limit, used) and '0' or minus(limit, used)}
        end
    end
end
