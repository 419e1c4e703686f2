import type { Handler, OriginRequest, OriginResponse } from './handler.ts';

/** A small site that shows what sealing is for: a public page, and a login page that is only ever answered sealed. */
export function demoSite(options: { readonly name: string; readonly secret: string }): Handler {
  return async (request) => {
    switch (request.path) {
      case '/':
        return page('Welcome', `<p>The public page of ${options.name}. <a href="/login">Log in</a></p>`);
      case '/account':
        return account(request, options.secret);
      case '/login':
        await request.sealAnswer();
        return request.method === 'POST' ? login(request, options.secret) : loginForm(options.secret);
      default:
        return { ...page('Not found', '<p>There is no such page.</p>'), status: 404 };
    }
  };
}

/** What a careless site does: it answers as it was asked, sealed or not. */
async function account(request: OriginRequest, secret: string): Promise<OriginResponse> {
  const sent = await readText(request.body, 4096);
  return page('Account', `<p>Secret: ${secret}. You sent ${sent.length} characters.</p>`);
}

/** The form carries a token, so that there is something worth sealing in the answer already. */
function loginForm(secret: string): OriginResponse {
  return page('Log in', `<form method="post"><input type="hidden" name="token" value="${secret}"></form>`);
}

async function login(request: OriginRequest, secret: string): Promise<OriginResponse> {
  if (request.security.received.level !== 'authenticated') {
    request.body.resume();
    return { ...page('Refused', '<p>Passwords are taken sealed only.</p>'), status: 403 };
  }
  const sent = await readText(request.body, 4096);
  return page(
    'Welcome back',
    `<p>Logged in as ${request.security.received.key?.peer}. Secret: ${secret}. You sent ${sent.length} bytes.</p>`,
  );
}

async function readText(body: AsyncIterable<Uint8Array>, limit: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) throw new Error('the form is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function page(title: string, content: string): OriginResponse {
  const html = `<!doctype html><title>${title}</title><h1>${title}</h1>${content}\n`;
  return { status: 200, headers: [['content-type', 'text/html; charset=utf-8']], body: html };
}
