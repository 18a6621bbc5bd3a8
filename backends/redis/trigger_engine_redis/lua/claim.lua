-- Gives work to a runner, and compares what it holds.
-- ARGV: log id, runner, tasks, queues, holding, limit, a fresh id, the runner's time; tasks to holding as msgpack.
local runner = ARGV[2]
local tasks, queues, holding = {}, unpack_value(ARGV[4]), {}
for _, task in ipairs(unpack_value(ARGV[3])) do
    tasks[task] = true
end
for _, claim in ipairs(unpack_value(ARGV[5])) do
    holding[claim] = true
end
local limit = tonumber(ARGV[6])
local log = load_log()

local stranded = {}
for _, member in ipairs(call('ZRANGEBYLEX', HELD, '[' .. runner .. '\0', '(' .. runner .. '\1')) do
    local claim, invocation_id = string.match(member, '^.-%z%x+%z(.-)%z(.*)$')
    if holding[claim] then
        holding[claim] = nil
    else
        stranded[#stranded + 1] = told(log, invocation_id, load_row(invocation_id))
    end
end
local revoked = {}
for claim in pairs(holding) do
    revoked[#revoked + 1] = claim
end
if limit <= 0 then
    return {log.id, log.tail, log.stirred, {}, stranded, revoked, {}, false}
end

local now = server_time()
for _, member in ipairs(call('ZRANGEBYSCORE', DELAYED, '-inf', string.format('%.17g', now), 'LIMIT', 0, 1000)) do
    call('ZREM', DELAYED, member)
    call('ZADD', READY, '0', member)
end

-- Every queue and task for which work waits, by steps over the sorted set, however much of it there is.
local unknown, known = {}, {}
local function look(first, last)
    local member = call('ZRANGEBYLEX', READY, first, last, 'LIMIT', 0, 1)[1]
    while member do
        local place, task = string.match(member, '^(.-%z(.-))%z')
        if tasks[task] then
            known[#known + 1] = {place = place, loaded = 0, at = 1, members = {}}
        else
            unknown[task] = true
        end
        member = call('ZRANGEBYLEX', READY, '[' .. place .. '\1', last, 'LIMIT', 0, 1)[1]
    end
end
if #queues == 0 then
    look('-', '+')
end
for _, queue in ipairs(queues) do
    look('[' .. queue .. '\0', '(' .. queue .. '\1')
end

-- The oldest of one place that is not taken yet: its member, the position in it.
local chunk = math.max(4, math.ceil(limit / math.max(#known, 1)))
local function head(source)
    if source.at > #source.members then
        source.members = call('ZRANGEBYLEX', READY, '[' .. source.place .. '\0', '(' .. source.place .. '\1', 'LIMIT',
            source.loaded, chunk)
        source.loaded, source.at = source.loaded + #source.members, 1
    end
    local member = source.members[source.at]
    return member, member and string.sub(member, #source.place + 2, #source.place + 15)
end
local taken = {}
while #taken < limit do
    local oldest, oldest_place, oldest_source
    for _, source in ipairs(known) do
        local member, place = head(source)
        if member and (not oldest or place < oldest_place) then
            oldest, oldest_place, oldest_source = member, place, source
        end
    end
    if not oldest then
        break
    end
    oldest_source.at = oldest_source.at + 1
    taken[#taken + 1] = string.sub(oldest, #oldest_source.place + 17)
end

-- The bytes of `Started`: what it shares with the registration is cut out of that, for Lua could not encode it anew.
local function started(registration, row, claim)
    local at = string.byte(registration, 2) == 0xdc and 5 or 3
    at = at + 1 + string.byte(registration, at) - 0xa0
    local header = string.byte(registration, at)
    local size = 1 + header - 0xa0
    if header == 0xd9 then
        size = 2 + string.byte(registration, at + 1)
    elseif header == 0xda then
        size = 3 + 256 * string.byte(registration, at + 1) + string.byte(registration, at + 2)
    end
    return table.concat({
        STARTED_HEAD,
        pack(claim .. ':started'),
        pack(tonumber(ARGV[8])),
        string.sub(registration, at, at + size - 1),
        string.sub(registration, row[SLICE_FROM] + 1, row[SLICE_FROM] + row[SLICE_SIZE]),
        pack(row[ATTEMPT]),
        pack(claim),
        pack(runner),
    })
end

local given, pairs_of_ids, rows = {}, {}, load_fields(INVOCATIONS, taken)
for _, invocation_id in ipairs(taken) do
    local before = unpack_value(rows[invocation_id])
    local registration = registration_of(log, invocation_id, before)
    local after = {unpack(before, 1, CHANGED_AT)}
    log.tail = log.tail + 1
    local claim = ARGV[7] .. string.format('%x', log.tail)
    if before[STATUS] == 'retry' then
        after[ATTEMPT] = before[ATTEMPT] + 1
    end
    after[STATUS], after[CLAIM], after[RUNNER], after[CHANGED_AT] = 'running', claim, runner, log.tail
    local entry = started(registration, after, claim)
    call('XADD', ENTRIES, decimal(log.tail) .. '-0', 'e', entry)
    move_row(log, invocation_id, before, after, now)
    pairs_of_ids[#pairs_of_ids + 1] = claim .. ':started'
    pairs_of_ids[#pairs_of_ids + 1] = decimal(log.tail)
    given[#given + 1] = {pack(after), registration, entry}
end
if #given > 0 then
    write_rows()
    in_chunks('HSET', IDS, pairs_of_ids)
    call('HSET', META, 'tail', decimal(log.tail), 'last', pairs_of_ids[#pairs_of_ids - 1])
    ring(log)
end

local unknown_tasks = {}
for task in pairs(unknown) do
    unknown_tasks[#unknown_tasks + 1] = task
end
local next_due = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
local wait = next_due and string.format('%.6f', math.max(tonumber(next_due) - now, 0))
return {log.id, log.tail, log.stirred, given, stranded, revoked, unknown_tasks, wait or false}
