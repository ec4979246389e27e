/* text.js - every sentence of the console, in both of its languages. A name that one of them lacks
 * is a mistake that tests/flow/test_console.py finds. */

export const texts = {
    en: {
        skip: "Skip to the content",
        language: "中文", languageName: "Switch to Chinese",
        theme: "Theme", themeAuto: "As the system", themeLight: "Light", themeDark: "Dark",
        signIn: "Sign in", signOut: "Sign out",
        secret: "Your key or token",
        secretHelp: "A client's key (sk-tg-…) shows its account, a creator's (ck-tg-…) what its models earn, finance's token (ft-tg-…) the settlement months. It stays in this tab and goes nowhere but here.",
        notAKey: "That is no key of a client (sk-tg-…), of a creator (ck-tg-…), nor finance's token (ft-tg-…).",
        operator: "Operators work with the command line: 'tollgate --help' lists what there is.",
        client: "Client", creator: "Creator", finance: "Finance",
        month: "Month",
        loading: "Loading …", updated: "As of", retrying: "asking again",
        offline: "The console can't be reached",
        earnings: "Earnings", earningsOf: "What your models have earned so far, as a close would split it",
        net: "Yours", gross: "Paid by clients", calls: "Calls", refunds: "Given back", earned: "Earned",
        byDay: "By day", byModel: "By model", model: "Model", day: "Day", noCalls: "No calls in this month yet.",
        asTable: "As a table",
        latestCalls: "Latest calls", client_: "Client", when: "Ended", units: "Units", amount: "Amount", outcome: "Outcome", request: "Request", more: "Show older ones", 
        account: "Account", accountOf: "What is left, what may be spent, and where it went",
        available: "Available", balance: "Balance", granted: "Granted", ends: "ends", held: "Held by open calls", openCalls: "Open calls", creditLimit: "Credit limit",
        limits: "Limits", none: "none", rpm: "Requests a minute", tpm: "Tokens a minute", concurrency: "Calls at once",
        prepaid: "prepaid", postpaid: "postpaid",
        spent: "Spent",
        budgets: "Budgets", left: "Left", anew: "Begins anew", keyEnds: "This key ends", zone: "Days and months of",
        budgetOf_account: "the account", budgetOf_key: "this key", budgetOf_model: "the account on one model", budgetOf_day: "a day", budgetOf_month: "a month",
        periods: "Settlement months", periodsOf: "What clients paid, month by month, and the bundles of those that are closed",
        state: "State", open: "running", over: "over, not closed", closed: "closed",
        refunded: "Refunded", statements: "Statements", files: "Files of the bundle", file: "File", size: "Size", download: "Download",
        closedAt: "Closed", signedBy: "Signed with key", writers: "Journals", testing: "This installation runs on a testing clock.",
        payout: "Payout", closing: "Carried on", opening: "Carried from before", statement: "Statement",
        toClose: "How to close it: tollgate settle close",
        outcomes: {complete: "complete", client_closed: "client left", upstream_error: "model failed", timeout: "timed out", killed: "interrupted", limit: "stopped at its limit", void: "not billed"},
    },
    zh: {
        skip: "跳到正文",
        language: "English", languageName: "切换为英文",
        theme: "主题", themeAuto: "跟随系统", themeLight: "浅色", themeDark: "深色",
        signIn: "登录", signOut: "退出",
        secret: "您的密钥或令牌",
        secretHelp: "客户密钥（sk-tg-…）显示其账户，创作者密钥（ck-tg-…）显示模型收益，财务令牌（ft-tg-…）显示结算月份。它只保存在本标签页，不会发往别处。",
        notAKey: "这不是客户密钥（sk-tg-…）、创作者密钥（ck-tg-…）或财务令牌（ft-tg-…）。",
        operator: "运维请使用命令行：tollgate --help 列出全部命令。",
        client: "客户", creator: "创作者", finance: "财务",
        month: "月份",
        loading: "加载中……", updated: "截至", retrying: "正在重试",
        offline: "无法连接控制台",
        earnings: "收益", earningsOf: "您的模型至今的收益，与结算时的分成方式一致",
        net: "归您所有", gross: "客户支付", calls: "调用次数", refunds: "退回", earned: "收益",
        byDay: "按日", byModel: "按模型", model: "模型", day: "日期", noCalls: "本月尚无调用。",
        asTable: "表格形式",
        latestCalls: "最近的调用", client_: "客户", when: "结束时间", units: "用量", amount: "金额", outcome: "结果", request: "请求", more: "显示更早的",
        account: "账户", accountOf: "余额、限额与去向",
        available: "可用", balance: "余额", granted: "赠送额度", ends: "到期", held: "进行中调用占用", openCalls: "进行中的调用", creditLimit: "信用额度",
        limits: "限制", none: "无", rpm: "每分钟请求数", tpm: "每分钟令牌数", concurrency: "并发调用数",
        prepaid: "预付", postpaid: "后付",
        spent: "已用",
        budgets: "预算", left: "剩余", anew: "重新开始", keyEnds: "此密钥到期", zone: "日与月的时区",
        budgetOf_account: "账户", budgetOf_key: "此密钥", budgetOf_model: "账户用于单个模型", budgetOf_day: "每日", budgetOf_month: "每月",
        periods: "结算月份", periodsOf: "各月客户支付金额，以及已结算月份的文件",
        state: "状态", open: "进行中", over: "已结束，未结算", closed: "已结算",
        refunded: "已退款", statements: "结算单", files: "结算文件", file: "文件", size: "大小", download: "下载",
        closedAt: "结算时间", signedBy: "签名密钥", writers: "日志", testing: "本安装使用测试时钟。",
        payout: "付款", closing: "结转", opening: "上期结转", statement: "结算单号",
        toClose: "结算方法：tollgate settle close",
        outcomes: {complete: "完成", client_closed: "客户断开", upstream_error: "模型出错", timeout: "超时", killed: "中断", limit: "达到上限", void: "未计费"},
    },
};

let chosen = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

export function language() {
    return chosen;
}

export function setLanguage(name) {
    chosen = name;
    localStorage.setItem("language", name);
    document.documentElement.lang = name === "zh" ? "zh-CN" : "en";
}

/** The sentence of that name. */
export function t(name) {
    return texts[chosen][name];
}

export function outcome(name) {
    return t("outcomes")[name] ?? name;
}
