// Drives the npm package `authy-client`, which checks the words of every answer itself; prints what
// came of each step as JSON.
const { given, sdk, code, wrong, print } = require("./common.js");

const { Client } = sdk("authy-client");
const client = new Client({ key: given.key }, { host: given.url });

const fault = (asked) =>
  asked.then(
    () => null,
    (error) => [error.code, error.body && error.body.error_code],
  );

(async () => {
  const seen = {};
  const where = { countryCode: "US", phone: given.to.slice(2) };
  const { user } = await client.registerUser({ ...where, email: "ann@example.com" });
  const authyId = user.id;
  await client.requestSms({ authyId });
  let heard = await code(given.to);
  seen.wrong = await fault(client.verifyToken({ authyId, token: wrong(heard.code) }));
  seen.right = (await client.verifyToken({ authyId, token: heard.code })).message;
  await client.requestCall({ authyId }, { force: true });
  heard = await code(given.to, heard.id);
  seen.heard = [heard.channel, (await client.verifyToken({ authyId, token: heard.code })).token];
  seen.status = (await client.getUserStatus({ authyId })).status.confirmed;
  await client.startPhoneVerification({ ...where, via: "sms" });
  heard = await code(given.to, heard.id);
  seen.length = heard.code.length;
  seen.check_wrong = await fault(client.verifyPhone({ ...where, token: wrong(heard.code) }));
  seen.check = (await client.verifyPhone({ ...where, token: heard.code })).message;
  seen.info = (await client.getPhoneInformation(where)).ported;
  seen.app = (await client.getApplicationDetails()).app.sms_enabled;
  seen.stats = (await client.getApplicationStatistics()).count > 0;
  seen.delete = (await client.deleteUser({ authyId })).message;
  seen.gone = await fault(client.getUserStatus({ authyId }));
  const stranger = new Client({ key: "0".repeat(64) }, { host: given.url });
  seen.stranger = await fault(stranger.getUserStatus({ authyId }));
  print(seen);
})();
