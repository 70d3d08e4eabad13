// better-auth with its phone plugin: `node server.mjs PORT`, its database in RIVAL_DATABASE_URL.
// It keeps the codes that it would have sent; `GET /codes` hands them out, once.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { phoneNumber } from "better-auth/plugins";
import pg from "pg";

const port = Number(process.argv[2]);
const codes = new Map();

const options = {
  baseURL: `http://127.0.0.1:${port}`,
  secret: process.env.BETTER_AUTH_SECRET,
  // More than the load's connections: no request waits for one of these.
  database: new pg.Pool({ connectionString: process.env.RIVAL_DATABASE_URL, max: 20 }),
  // On by default in production, with 10 requests a minute for this plugin.
  rateLimit: { enabled: false },
  plugins: [phoneNumber({ sendOTP: ({ phoneNumber, code }) => void codes.set(phoneNumber, code) })],
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
const door = toNodeHandler(auth);

createServer((request, response) => {
  if (request.url === "/codes") return handOut(response);
  if (request.url === "/consume") return consume(request, response);
  return door(request, response);
}).listen(port, "127.0.0.1");

function handOut(response) {
  answer(response, Object.fromEntries(codes));
  codes.clear();
}

// The code alone, without user and session; better-auth has this as a function, not as a door.
async function consume(request, response) {
  let text = "";
  for await (const part of request) text += part;
  try {
    answer(response, await auth.api.consumePhoneNumberOTP({ body: JSON.parse(text) }));
  } catch (error) {
    response.statusCode = error.statusCode ?? 500;
    answer(response, { error: error.message });
  }
}

function answer(response, value) {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(value));
}
